import type { Certificate } from '@peculiar/asn1-x509';
import { AsnConvert, x509 } from './asn1.js';

const {
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_certificatePolicies,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
} = x509;

export type Tbs = Certificate['tbsCertificate'];

/** What is understood when it is critical; of policies none is ever required here. */
const understood: readonly string[] = [
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_certificatePolicies,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
];

/** The extension of that kind, or undefined without one. Throws where its value cannot be read. */
export function extension<T>(
  tbs: Tbs,
  id: string,
  type: new () => T,
): { value: T; critical: boolean } | undefined {
  const found = tbs.extensions?.find(({ extnID }) => extnID === id);
  if (found === undefined) return undefined;
  return { value: AsnConvert.parse(found.extnValue, type), critical: found.critical };
}

/**
 * RFC 5280 §4.2: no extension twice, and none that is critical and not understood.
 * @param alsoUnderstood further kinds that the caller looks at
 */
export function extensionFault(
  { extensions = [] }: Tbs,
  ...alsoUnderstood: readonly string[]
): string | undefined {
  const ids = extensions.map(({ extnID }) => extnID);
  if (new Set(ids).size < ids.length) return 'the certificate has an extension twice';
  const isUnknown = extensions.some(
    ({ extnID, critical }) =>
      critical && !understood.includes(extnID) && !alsoUnderstood.includes(extnID),
  );
  return isUnknown ? 'the certificate has a critical extension that is not understood' : undefined;
}
