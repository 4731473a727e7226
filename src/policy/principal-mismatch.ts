import type { Caller } from '../identity/caller.js';
import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import type { PrincipalEntry } from './policy-schema.js';

/** The first key of a principal that a caller does not have, with what is asked for and what is there. */
export interface Mismatch {
  /** `jwt.claims.tenant` */
  readonly key: string;
  readonly wanted: string;
  /** As JSON; `nothing` where there is none. */
  readonly got: string;
}

type Matches = (entry: PrincipalEntry) => boolean;

/**
 * For `explain`: the keys of the principal one after the other, each asked with all before it.
 * @param matches whether the caller is a principal with these keys
 */
export function firstMismatch(
  entry: PrincipalEntry,
  caller: Caller,
  matches: Matches,
): Mismatch | undefined {
  return partsOf(entry, caller).find(({ part }) => !matches(part))?.mismatch;
}

interface Part {
  readonly part: PrincipalEntry;
  readonly mismatch: Mismatch;
}

function partsOf({ spiffe, via, jwt }: PrincipalEntry, { peer, token }: Caller): readonly Part[] {
  const parts: Part[] = [];
  const add = (part: PrincipalEntry, key: string, wanted: unknown, got: JsonValue | undefined) =>
    parts.push({ part, mismatch: { key, wanted: JSON.stringify(wanted), got: shown(got) } });
  if (spiffe !== undefined) {
    const ids = [
      via === 'jwt-svid' ? undefined : peer?.spiffeId.text,
      via === 'mtls' ? undefined : token?.spiffeId?.text,
    ].filter((id) => id !== undefined);
    add({ spiffe, via }, via === 'any' ? 'spiffe' : `spiffe via ${via}`, spiffe, ids[0]);
  }
  if (jwt === undefined) return parts;
  const only = (part: NonNullable<PrincipalEntry['jwt']>): PrincipalEntry => ({
    via: 'any',
    jwt: part,
  });
  add(only({}), 'jwt', 'a token', token?.id);
  const { issuer, subject, claims, actor } = jwt;
  if (issuer !== undefined) add(only({ issuer }), 'jwt.issuer', issuer, token?.issuer);
  if (subject !== undefined) add(only({ subject }), 'jwt.subject', subject, token?.subject);
  for (const [name, pattern] of Object.entries(claims ?? {})) {
    const got = member(token?.claims, name);
    add(only({ claims: { [name]: pattern } }), `jwt.claims.${name}`, pattern, got);
  }
  if (actor === undefined) return parts;
  const acting: JsonObject | undefined = token?.actor;
  add(only({ actor: {} }), 'jwt.actor', 'an actor', acting && member(acting, 'sub'));
  if (actor.subject !== undefined) {
    const part = only({ actor: { subject: actor.subject } });
    add(part, 'jwt.actor.subject', actor.subject, acting && member(acting, 'sub'));
  }
  for (const [name, pattern] of Object.entries(actor.claims ?? {})) {
    const part = only({ actor: { claims: { [name]: pattern } } });
    add(part, `jwt.actor.claims.${name}`, pattern, acting && member(acting, name));
  }
  return parts;
}

function shown(value: JsonValue | undefined): string {
  if (value === undefined) return 'nothing';
  return isJsonObject(value) ? 'an object' : JSON.stringify(value);
}
