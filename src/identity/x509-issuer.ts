import { X509Certificate as NodeCertificate } from 'node:crypto';
import { AsnConvert, x509 } from './asn1.js';
import { mayBeIssued } from './name-constraints.js';
import { extension, extensionFault } from './x509-extensions.js';
import type { Certificate } from './x509-svid.js';

const { Certificate: AsnCertificate, id_ce_nameConstraints, NameConstraints } = x509;
type AsnCertificate = InstanceType<typeof AsnCertificate>;

/** An authority that issued a certificate, by its own dates. */
interface Issuer {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Which authorities issued a certificate never changes: each is asked once per set of authorities. */
const chains = new WeakMap<
  Certificate,
  { readonly authorities: readonly Uint8Array[]; readonly issuers: readonly Issuer[] }
>();

/** Whether one of the authorities (DER), in its dates, issued the certificate. */
export function isIssuedBy(
  certificate: Certificate,
  authorities: readonly Uint8Array[],
  nowMs: number,
): boolean {
  return issuersOf(certificate, authorities).some(
    ({ fromMs, toMs }) => nowMs >= fromMs && nowMs <= toMs,
  );
}

function issuersOf(
  certificate: Certificate,
  authorities: readonly Uint8Array[],
): readonly Issuer[] {
  const known = chains.get(certificate);
  if (known?.authorities === authorities) return known.issuers;
  const issuers = isStrong(certificate.asn.signatureAlgorithm)
    ? authorities.flatMap((der) => readIssuer(certificate, der) ?? [])
    : [];
  chains.set(certificate, { authorities, issuers });
  return issuers;
}

/**
 * RFC 5280 §6 for a path of one: Envoy sends the leaf alone, so an authority of the bundle must have
 * issued it. Where intermediates issue leaves, the bundle has to list them.
 */
function readIssuer(leaf: Certificate, authorityDer: Uint8Array): Issuer | undefined {
  try {
    const authority = new NodeCertificate(authorityDer);
    const isIssuer =
      authority.ca &&
      !isShortRsa(authority) &&
      leaf.certificate.checkIssued(authority) &&
      leaf.certificate.verify(authority.publicKey);
    if (!isIssuer) return undefined;
    const { tbsCertificate } = AsnConvert.parse(authority.raw, AsnCertificate);
    if (extensionFault(tbsCertificate, id_ce_nameConstraints) !== undefined) return undefined;
    const constraints = extension(tbsCertificate, id_ce_nameConstraints, NameConstraints)?.value;
    const { subject } = leaf.asn.tbsCertificate;
    if (constraints !== undefined && !mayBeIssued(constraints, leaf.names, subject)) {
      return undefined;
    }
    return { fromMs: Date.parse(authority.validFrom), toMs: Date.parse(authority.validTo) };
  } catch {
    return undefined;
  }
}

/** RFC 8017 has no use for RSA keys of fewer than 2048 bits any more (RFC 7518 §3.3 for tokens). */
export function isShortRsa({ publicKey }: NodeCertificate): boolean {
  const { asymmetricKeyType, asymmetricKeyDetails } = publicKey;
  const isRsa = asymmetricKeyType === 'rsa' || asymmetricKeyType === 'rsa-pss';
  return isRsa && (asymmetricKeyDetails?.modulusLength ?? 0) < 2048;
}

/** Signatures over SHA-2, and Ed25519: never over SHA-1 or MD5 (RFC 8017 A.2.4, RFC 5758 §3, RFC 8410 §3). */
const strongAlgorithms: readonly string[] = [
  ...['1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13'],
  ...['1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'],
  '1.3.101.112',
];
const rsassaPss = '1.2.840.113549.1.1.10';

function isStrong({ algorithm, parameters }: AsnCertificate['signatureAlgorithm']): boolean {
  if (algorithm !== rsassaPss) return strongAlgorithms.includes(algorithm);
  return pssParameters.includes(Buffer.from(parameters ?? new ArrayBuffer(0)).toString('hex'));
}

/** RFC 4055 §3.1 with SHA-256, -384 and -512, each with its own hash in MGF1 and a salt as long. */
const pssParameters: readonly string[] = [
  { hash: '01', salt: '20' },
  { hash: '02', salt: '30' },
  { hash: '03', salt: '40' },
].map(({ hash, salt }) => {
  const sha = `300d06096086480165030402${hash}0500`;
  return `3034a00f${sha}a11c301a06092a864886f70d010108${sha}a2030201${salt}`;
});
