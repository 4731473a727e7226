import { X509Certificate as NodeCertificate } from 'node:crypto';
import type { GeneralName } from '@peculiar/asn1-x509';
import { Refusal } from '../errors.js';
import type { BundleSource } from '../trust/key-source.js';
import { AsnConvert, x509 } from './asn1.js';
import type { SpiffeId } from './caller.js';
import { extension, extensionFault, type Tbs } from './x509-extensions.js';
import { isIssuedBy, isShortRsa } from './x509-issuer.js';

const {
  Certificate: AsnCertificate,
  BasicConstraints,
  ExtendedKeyUsage,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_kp_clientAuth,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
} = x509;
type AsnCertificate = InstanceType<typeof AsnCertificate>;

/** What X509-SVID rules look at, read once per certificate. Seconds since the epoch. */
export interface Certificate {
  readonly uris: readonly string[];
  readonly names: readonly GeneralName[];
  readonly notBefore: number;
  readonly notAfter: number;
  readonly sha256: string;
  /** Why it is no leaf that may authenticate (X509-SVID §4); undefined when it is one. */
  readonly leafFault: string | undefined;
  readonly certificate: NodeCertificate;
  readonly asn: AsnCertificate;
}

/** RFC 5280 §4.2.1.12: clientAuth, anyExtendedKeyUsage. */
const clientPurposes: readonly string[] = [id_kp_clientAuth, '2.5.29.37.0'];
const maxPemLength = 64 * 1024;

/**
 * Reads `source.certificate`: the URL-encoded PEM of the leaf (ENVOY-MEASURED.md 2); behind the
 * first PEM block nothing is read.
 */
export function parseCertificate(encodedPem: string): Certificate | Refusal {
  if (encodedPem.length > maxPemLength) return invalid('the certificate is too long');
  try {
    const pem = encodedPem.startsWith('-----BEGIN CERT')
      ? encodedPem
      : decodeURIComponent(encodedPem);
    const node = new NodeCertificate(pem);
    const asn = AsnConvert.parse(node.raw, AsnCertificate);
    const { tbsCertificate } = asn;
    const fault = extensionFault(tbsCertificate);
    if (fault !== undefined) return invalid(fault);
    const alternative = extension(tbsCertificate, id_ce_subjectAltName, SubjectAlternativeName);
    const names = [...(alternative?.value ?? [])];
    return {
      uris: names.flatMap((name) => name.uniformResourceIdentifier ?? []),
      names,
      notBefore: Math.floor(tbsCertificate.validity.notBefore.getTime().getTime() / 1000),
      notAfter: Math.floor(tbsCertificate.validity.notAfter.getTime().getTime() / 1000),
      sha256: node.fingerprint256.replaceAll(':', '').toLowerCase(),
      leafFault: leafFault(tbsCertificate, node),
      certificate: node,
      asn,
    };
  } catch {
    return invalid('the certificate cannot be read');
  }
}

function invalid(detail: string): Refusal {
  return new Refusal('peer_invalid', detail);
}

/** X509-SVID §4: the constraints of a leaf. */
function leafFault(tbs: Tbs, node: NodeCertificate): string | undefined {
  const constraints = extension(tbs, id_ce_basicConstraints, BasicConstraints);
  if (node.ca || constraints?.value.cA === true) return 'the certificate is an authority';
  const usage = extension(tbs, id_ce_keyUsage, KeyUsage);
  if (!usage?.critical) return 'the certificate has no critical key usage';
  const flags = usage.value.toNumber();
  const forbidden = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign;
  if ((flags & forbidden) !== 0) return 'the certificate may sign certificates';
  if ((flags & KeyUsageFlags.digitalSignature) === 0) return 'the certificate may not sign';
  const purposes = extension(tbs, id_ce_extKeyUsage, ExtendedKeyUsage);
  if (purposes !== undefined && ![...purposes.value].some((id) => clientPurposes.includes(id))) {
    return 'the certificate is not for clients';
  }
  if (isShortRsa(node)) return 'the RSA key has fewer than 2048 bits';
  return undefined;
}

/** Holds a certificate to the id it is sent for (X509-SVID §5.2); the dates count on every request. */
export function checkSvid(
  certificate: Certificate,
  id: SpiffeId,
  bundles: BundleSource | undefined,
  nowMs: number,
): Refusal | undefined {
  const { uris, leafFault: fault } = certificate;
  if (uris.length !== 1) return invalid(`the certificate has ${uris.length} URI SANs, not one`);
  if (uris[0] !== id.text) return invalid('the principal is not the URI SAN of the certificate');
  if (fault !== undefined) return invalid(fault);
  const outdated = dateFault(certificate, nowMs);
  if (outdated !== undefined) return outdated;
  const authorities = bundles?.x509Authorities(id.trustDomain);
  if (authorities === undefined || authorities instanceof Refusal) return authorities;
  return isIssuedBy(certificate, authorities, nowMs)
    ? undefined
    : invalid('no authority of the trust domain issued the certificate');
}

/** RFC 5280 §4.1.2.5: both ends count as inside. */
export function dateFault(
  { notBefore, notAfter }: Certificate,
  nowMs: number,
): Refusal | undefined {
  const isInside = nowMs >= notBefore * 1000 && nowMs <= notAfter * 1000;
  return isInside ? undefined : invalid('the certificate is outside its dates');
}
