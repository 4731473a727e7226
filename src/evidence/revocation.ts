import { Refusal } from '../errors.js';
import { actorIds, barrableIds, type Caller } from '../identity/caller.js';
import { pairKey, type Revocations } from './data-files.js';

/**
 * Whether anything that the caller showed is revoked: its token, the key that signed it, its
 * certificate, one of its identities or the actor that uses its token. Asked on every Check, behind every cache.
 */
export function findRevocation(caller: Caller, revocations: Revocations): Refusal | undefined {
  const { peer, token } = caller;
  if (token !== undefined) {
    if (isListed(revocations.tokens, token.issuer, token.jti)) return revoked('the token');
    if (isListed(revocations.keys, token.issuer, token.keyId))
      return revoked('the key of the token');
  }
  const sha256 = (peer?.certificate ?? caller.certificate)?.sha256;
  if (sha256 !== undefined && revocations.certificates.has(sha256))
    return revoked('the certificate');
  if (revocations.identities.size === 0) return undefined;
  for (const id of barrableIds(caller)) {
    const before = revocations.identities.get(id);
    if (before !== undefined && isIssuedBefore(caller, id, before)) return revoked(id);
  }
  return undefined;
}

function isListed(list: ReadonlySet<string>, issuer: string, id: string | undefined): boolean {
  return list.size > 0 && id !== undefined && list.has(pairKey(issuer, id));
}

function revoked(what: string): Refusal {
  return new Refusal('revoked', `${what} is revoked`);
}

/**
 * Whether the credential by which the caller is `id` was issued before `seconds` (a token's `iat`,
 * a certificate's start). One that does not say when counts as issued before.
 */
export function isIssuedBefore({ peer, token }: Caller, id: string, seconds: number): boolean {
  if (peer?.spiffeId.text === id && (peer.certificate?.notBefore ?? -1) < seconds) return true;
  const isByToken = token?.id === id || (token !== undefined && actorIds(token).includes(id));
  return isByToken && (token?.issuedAt ?? -1) < seconds;
}
