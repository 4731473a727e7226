import { X509Certificate as NodeCertificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  Certificate as AsnCertificate,
  BasicConstraints,
  id_ce_basicConstraints,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  KeyUsage,
  KeyUsageFlags,
  SubjectAlternativeName,
} from '@peculiar/asn1-x509';
import { Refusal } from '../errors.js';
import type { BundleSource } from '../trust/key-source.js';
import type { SpiffeId } from './caller.js';

/** What X509-SVID rules look at, read once per certificate. Seconds since the epoch. */
export interface Certificate {
  readonly uris: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
  readonly sha256: string;
  /** Why it is no leaf that may authenticate (X509-SVID §4); undefined when it is one. */
  readonly leafFault: string | undefined;
  readonly certificate: NodeCertificate;
}

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
    const { tbsCertificate } = AsnConvert.parse(node.raw, AsnCertificate);
    const ids = (tbsCertificate.extensions ?? []).map(({ extnID }) => extnID);
    if (new Set(ids).size < ids.length) return invalid('the certificate has an extension twice');
    const names = extension(tbsCertificate, id_ce_subjectAltName, SubjectAlternativeName);
    return {
      uris: [...(names?.value ?? [])].flatMap((name) => name.uniformResourceIdentifier ?? []),
      notBefore: Math.floor(tbsCertificate.validity.notBefore.getTime().getTime() / 1000),
      notAfter: Math.floor(tbsCertificate.validity.notAfter.getTime().getTime() / 1000),
      sha256: node.fingerprint256.replaceAll(':', '').toLowerCase(),
      leafFault: leafFault(tbsCertificate, node),
      certificate: node,
    };
  } catch {
    return invalid('the certificate cannot be read');
  }
}

function invalid(detail: string): Refusal {
  return new Refusal('peer_invalid', detail);
}

type Tbs = AsnCertificate['tbsCertificate'];

function extension<T>(
  tbs: Tbs,
  id: string,
  type: new () => T,
): { value: T; critical: boolean } | undefined {
  const found = tbs.extensions?.find(({ extnID }) => extnID === id);
  if (found === undefined) return undefined;
  return { value: AsnConvert.parse(found.extnValue, type), critical: found.critical };
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
  const { asymmetricKeyType, asymmetricKeyDetails } = node.publicKey;
  if (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) < 2048) {
    return 'the RSA key has fewer than 2048 bits';
  }
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
  const isIssued = issuersOf(certificate, authorities).some(
    ({ fromMs, toMs }) => nowMs >= fromMs && nowMs <= toMs,
  );
  return isIssued ? undefined : invalid('no authority of the trust domain issued the certificate');
}

/** RFC 5280 §4.1.2.5: both ends count as inside. */
export function dateFault(
  { notBefore, notAfter }: Certificate,
  nowMs: number,
): Refusal | undefined {
  const isInside = nowMs >= notBefore * 1000 && nowMs <= notAfter * 1000;
  return isInside ? undefined : invalid('the certificate is outside its dates');
}

interface Issuer {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Which authorities issued a certificate never changes: each is asked once per set of authorities. */
const chains = new WeakMap<
  Certificate,
  { readonly authorities: readonly Uint8Array[]; readonly issuers: readonly Issuer[] }
>();

function issuersOf(
  certificate: Certificate,
  authorities: readonly Uint8Array[],
): readonly Issuer[] {
  const known = chains.get(certificate);
  if (known?.authorities === authorities) return known.issuers;
  const issuers = authorities.flatMap((der) => readIssuer(certificate.certificate, der) ?? []);
  chains.set(certificate, { authorities, issuers });
  return issuers;
}

/**
 * RFC 5280 §6 for a path of one: Envoy sends the leaf alone, so an authority of the bundle must have
 * issued it. Where intermediates issue leaves, the bundle has to list them.
 */
function readIssuer(leaf: NodeCertificate, authorityDer: Uint8Array): Issuer | undefined {
  try {
    const authority = new NodeCertificate(authorityDer);
    const isIssuer =
      authority.ca && leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
    if (!isIssuer) return undefined;
    return { fromMs: Date.parse(authority.validFrom), toMs: Date.parse(authority.validTo) };
  } catch {
    return undefined;
  }
}
