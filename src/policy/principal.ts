import { type Caller, callerIds, type TokenIdentity } from '../identity/caller.js';
import {
  matchSpiffePattern,
  parseSpiffePattern,
  type SpiffePattern,
} from '../identity/spiffe-id.js';
import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import type { ClaimPattern, PrincipalEntry } from './policy-schema.js';
import { firstMismatch, type Mismatch } from './principal-mismatch.js';
import { compileTextPattern, compileTextPatterns, type TextPattern } from './text-pattern.js';

/** A named caller of the policy, or one of the built-ins `anyone` and `authenticated`. */
export interface Principal {
  readonly name: string;
  /** Whether it is known by its client certificate: it names SPIFFE ids that need not come in a token. */
  readonly isPeer: boolean;
  /**
   * The id by which the caller is this principal (SPIFFE id or `issuerName:subject`; '' for
   * `anyone` without an identity), or undefined when it is not.
   */
  match(caller: Caller): string | undefined;
  /** Why it is not, for `explain`; absent of the built-ins. */
  mismatch?(caller: Caller): Mismatch | undefined;
}

export const builtInPrincipals: ReadonlyMap<string, Principal> = new Map([
  ['anyone', { name: 'anyone', isPeer: false, match: (caller) => callerIds(caller)[0] ?? '' }],
  [
    'authenticated',
    { name: 'authenticated', isPeer: false, match: (caller) => callerIds(caller)[0] },
  ],
]);

/** A fault of a principal: the key it is at, and a sentence. */
export interface PrincipalFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Compiles one principal; all keys it has must hold together. */
export function compilePrincipal(
  name: string,
  entry: PrincipalEntry,
): Principal | readonly PrincipalFault[] {
  const parsed = (entry.spiffe ?? []).map((text) => parseSpiffePattern(text));
  const faults = parsed.flatMap((pattern, at) =>
    typeof pattern === 'string' ? [{ path: ['spiffe', at], message: pattern }] : [],
  );
  if (faults.length > 0) return faults;
  const patterns = parsed.filter((pattern) => typeof pattern !== 'string');
  const matchSpiffe = compileSpiffe(patterns, entry.via);
  const matchJwt = compileJwt(entry.jwt);
  return {
    name,
    isPeer: patterns.length > 0 && entry.via !== 'jwt-svid',
    match: (caller) => {
      const spiffe = patterns.length === 0 ? undefined : matchSpiffe(caller);
      if (patterns.length > 0 && spiffe === undefined) return undefined;
      if (matchJwt === undefined) return spiffe;
      const { token } = caller;
      if (token === undefined || !matchJwt(token)) return undefined;
      return spiffe ?? token.id;
    },
    mismatch: (caller) =>
      firstMismatch(entry, caller, (part) => {
        const compiled = compilePrincipal(name, part);
        return 'match' in compiled && compiled.match(caller) !== undefined;
      }),
  };
}

function compileSpiffe(patterns: readonly SpiffePattern[], via: PrincipalEntry['via']) {
  return ({ peer, token }: Caller): string | undefined => {
    const ids = [
      via === 'jwt-svid' ? undefined : peer?.spiffeId,
      via === 'mtls' ? undefined : token?.spiffeId,
    ];
    for (const id of ids) {
      if (id !== undefined && patterns.some((pattern) => matchSpiffePattern(pattern, id))) {
        return id.text;
      }
    }
    return undefined;
  };
}

function compileJwt(jwt: PrincipalEntry['jwt']) {
  if (jwt === undefined) return undefined;
  const { issuer, actor } = jwt;
  const subject = optionalPattern(jwt.subject);
  const claims = compileClaims(jwt.claims);
  const actorSubject = optionalPattern(actor?.subject);
  const actorClaims = compileClaims(actor?.claims);
  return (token: TokenIdentity): boolean => {
    // A JWT-SVID's issuer is its trust domain, which may be spelt like a configured name.
    if (issuer !== undefined && !(token.kind === 'jwt' && issuer.includes(token.issuer)))
      return false;
    if (subject !== undefined && !subject(token.subject)) return false;
    if (!claims(token.claims)) return false;
    if (actor === undefined) return true;
    if (token.actor === undefined || !actorClaims(token.actor)) return false;
    const acting = member(token.actor, 'sub');
    return actorSubject === undefined || (typeof acting === 'string' && actorSubject(acting));
  };
}

function optionalPattern(patterns: readonly string[] | undefined): TextPattern | undefined {
  return patterns === undefined ? undefined : compileTextPatterns(patterns);
}

type Matcher = (value: JsonValue | undefined) => boolean;

function compileClaims(
  patterns: Readonly<Record<string, ClaimPattern>> | undefined,
): (claims: JsonObject) => boolean {
  if (patterns === undefined) return () => true;
  const matchers = Object.entries(patterns).map(
    ([name, pattern]) => [name, compileClaim(pattern)] as const,
  );
  return (claims) => matchers.every(([name, matches]) => matches(member(claims, name)));
}

/**
 * Typed: `true` and `5` match only a boolean and a number. A mapping is matched member by member;
 * a claim that is a list matches when one member does.
 */
function compileClaim(pattern: ClaimPattern): Matcher {
  const matches = compileMember(pattern);
  return (value) => (Array.isArray(value) ? value.some(matches) : matches(value));
}

function compileMember(pattern: ClaimPattern): Matcher {
  if (isAnyOf(pattern)) {
    const matchers = pattern.map(compileMember);
    return (value) => matchers.some((matches) => matches(value));
  }
  if (typeof pattern === 'object') {
    const matches = compileClaims(pattern);
    return (value) => isJsonObject(value) && matches(value);
  }
  if (typeof pattern !== 'string') return (value) => value === pattern;
  const matches = compileTextPattern(pattern);
  return (value) => typeof value === 'string' && matches(value);
}

function isAnyOf(pattern: ClaimPattern): pattern is readonly (string | number | boolean)[] {
  return Array.isArray(pattern);
}
