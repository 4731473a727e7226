import { Refusal } from '../errors.js';
import type { SpiffeId } from './caller.js';
import { parseSpiffeId } from './spiffe-id.js';

/** Undefined for a principal that is no SPIFFE id at all: a DNS name, a Subject, none. */
export function readPrincipal(
  principal: string,
  trustDomains: ReadonlySet<string>,
): SpiffeId | undefined | Refusal {
  if (!/^\s*spiffe:/i.test(principal)) return undefined;
  const id = parseSpiffeId(principal);
  if (typeof id === 'string') return new Refusal('peer_invalid', id);
  if (id.segments.length === 0)
    return new Refusal('peer_invalid', 'a trust domain itself is no workload');
  if (!trustDomains.has(id.trustDomain)) {
    return new Refusal(
      'trust_domain_refused',
      `the trust domain ${id.trustDomain} is not accepted`,
    );
  }
  return id;
}
