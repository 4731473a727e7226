import { isIP } from 'node:net';
import type { GeneralName, GeneralSubtrees, Name, NameConstraints } from '@peculiar/asn1-x509';

const kinds = [
  'uniformResourceIdentifier',
  'dNSName',
  'rfc822Name',
  'iPAddress',
  'directoryName',
  'otherName',
  'x400Address',
  'ediPartyName',
  'registeredID',
] as const;
type Kind = (typeof kinds)[number];

/**
 * Whether an authority may issue a certificate of these names (RFC 5280 §4.2.1.10). URIs and DNS names
 * are compared; a constraint of any other kind refuses a certificate that has a name of that kind.
 * @param names the subject alternative names
 */
export function mayBeIssued(
  constraints: NameConstraints,
  names: readonly GeneralName[],
  subject: Name,
): boolean {
  return kinds.every((kind) => {
    const permitted = basesOf(constraints.permittedSubtrees, kind);
    const excluded = basesOf(constraints.excludedSubtrees, kind);
    if (permitted.length === 0 && excluded.length === 0) return true;
    if (kind === 'directoryName' && subject.length > 0) return false;
    const held = names.filter((name) => name[kind] !== undefined);
    return held.every((name) => isAllowed(name, kind, permitted, excluded));
  });
}

function basesOf(subtrees: GeneralSubtrees | undefined, kind: Kind): readonly GeneralName[] {
  return [...(subtrees ?? [])].map(({ base }) => base).filter((base) => base[kind] !== undefined);
}

function isAllowed(
  name: GeneralName,
  kind: Kind,
  permitted: readonly GeneralName[],
  excluded: readonly GeneralName[],
): boolean {
  if (kind !== 'uniformResourceIdentifier' && kind !== 'dNSName') return false;
  const value = name[kind] ?? '';
  const host = (kind === 'dNSName' ? value : hostOf(value)).toLowerCase();
  // A host that is no name is below no domain, so no constraint can speak of it.
  if (host === '' || isIP(host) !== 0) return false;
  const isBelow = (base: GeneralName, isExact: boolean) =>
    isWithin(host, (base[kind] ?? '').toLowerCase(), isExact);
  const isPermitted =
    permitted.length === 0 ||
    permitted.some((base) => isBelow(base, kind === 'uniformResourceIdentifier'));
  return isPermitted && !excluded.some((base) => isBelow(base, false));
}

/** Of a SPIFFE id the trust domain; anything with a user or a port is none. */
function hostOf(uri: string): string {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#@:]*)(?:[/?#]|$)/.exec(uri)?.[1] ?? '';
}

/**
 * A leading dot asks for a label more. Without one a URI constraint names just that host; what it
 * excludes is read widely, as other validators do.
 */
function isWithin(host: string, base: string, isExact: boolean): boolean {
  if (base === '') return true;
  if (base.startsWith('.')) return host.endsWith(base) && host.length > base.length;
  return host === base || (!isExact && host.endsWith(`.${base}`));
}
