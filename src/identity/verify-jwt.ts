import { Refusal } from '../errors.js';
import { type JsonObject, member } from '../json/json-value.js';
import type { KeySet, VerificationKey } from '../trust/key-source.js';
import type { CompactJws } from './compact-jws.js';
import { isSigned } from './jws-signature.js';

/** What one kind of token must be. Times in milliseconds. */
export interface JwtRules {
  /** The exact `iss`; undefined where the issuer is known by other means (JWT-SVID). */
  readonly issuer: string | undefined;
  /** Any of these in `aud`. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  /** Accepted `typ` values in lower case without `application/`; '' for none. */
  readonly types: readonly string[];
  readonly requireKeyId: boolean;
  readonly maxLifetimeMs: number | undefined;
  readonly clockToleranceMs: number;
  readonly requiredClaims: readonly string[];
}

/** A token whose signature and claims hold. Seconds since the epoch. */
export interface VerifiedJwt {
  readonly claims: JsonObject;
  readonly subject: string;
  readonly keyId: string | undefined;
  readonly jti: string | undefined;
  readonly issuedAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly expiresAt: number;
}

/**
 * Verifies one token by the checklist of BCP 225 (RFC 8725), in the order of the codes it gives:
 * algorithm, type, key, signature; then, all of it signed, times, audience, claims.
 */
export function verifyJwt(
  jws: CompactJws,
  rules: JwtRules,
  keySet: KeySet,
  nowMs: number,
): VerifiedJwt | Refusal {
  if (!rules.algorithms.includes(jws.algorithm)) {
    return new Refusal('token_algorithm_refused', 'the algorithm is not accepted from this issuer');
  }
  if (!rules.types.includes(canonicalType(jws.type))) {
    return new Refusal('token_type_refused', 'the type of the token is not accepted here');
  }
  const key = findKey(jws, rules, keySet);
  if (key instanceof Refusal) return key;
  return isSigned(jws, key.key)
    ? readClaims(jws, rules, key.kid, nowMs)
    : new Refusal('token_signature_invalid', 'the signature does not hold under the key');
}

/** RFC 7515 §4.1.9: without a `/`, `application/` is implied; media types ignore case. */
export function canonicalType(type: string | undefined): string {
  if (type === undefined) return '';
  const lower = type.toLowerCase();
  const short = lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
  // An empty type is a type, and no accepted one.
  return short === '' ? '/' : short;
}

function findKey(jws: CompactJws, rules: JwtRules, keySet: KeySet): VerificationKey | Refusal {
  if (jws.keyId === undefined && rules.requireKeyId) {
    return new Refusal('token_key_unknown', 'the token names no key');
  }
  const { keyId } = jws;
  const found = keyId === undefined ? keySet.keys : keySet.keys.filter(({ kid }) => kid === keyId);
  const [key, other] = found;
  if (key === undefined) return new Refusal('token_key_unknown', 'the issuer has no such key');
  if (other !== undefined) {
    return new Refusal('token_key_unknown', 'more than one key of the issuer could be meant');
  }
  if (key.alg !== undefined && key.alg !== jws.algorithm) {
    return new Refusal('token_algorithm_refused', 'the key is for another algorithm');
  }
  return key;
}

/**
 * Reads the claims of a token whose signature holds, and holds them to the rules.
 * @param keyId of the key that verified it, also where the token does not name it: for revocation
 */
function readClaims(
  jws: CompactJws,
  rules: JwtRules,
  keyId: string | undefined,
  nowMs: number,
): VerifiedJwt | Refusal {
  const { payload } = jws;
  const times = readTimes(payload, rules, nowMs);
  if (times instanceof Refusal) return times;
  if (rules.issuer !== undefined && member(payload, 'iss') !== rules.issuer) {
    return new Refusal('token_issuer_unknown', 'the issuer is another one');
  }
  if (!hasAudience(member(payload, 'aud'), rules.audiences)) {
    return new Refusal('token_audience_mismatch', 'the token is not for an audience of ours');
  }
  const subject = member(payload, 'sub');
  if (typeof subject !== 'string' || subject === '') return badClaim('sub');
  const jti = member(payload, 'jti');
  if (jti !== undefined && (typeof jti !== 'string' || jti === '')) return badClaim('jti');
  const missing = rules.requiredClaims.find((name) => isAbsent(member(payload, name)));
  if (missing !== undefined) return badClaim(missing);
  return { claims: payload, subject, keyId, jti, ...times };
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

function badClaim(name: string): Refusal {
  return new Refusal('token_claim_invalid', `the claim "${name}" is missing or of a wrong type`);
}

interface Times {
  readonly issuedAt: number | undefined;
  readonly notBefore: number | undefined;
  readonly expiresAt: number;
}

function readTimes(payload: JsonObject, rules: JwtRules, nowMs: number): Times | Refusal {
  const expiresAt = member(payload, 'exp');
  const notBefore = member(payload, 'nbf');
  const issuedAt = member(payload, 'iat');
  if (!isTime(expiresAt)) return badClaim('exp');
  if (notBefore !== undefined && !isTime(notBefore)) return badClaim('nbf');
  if (issuedAt !== undefined && !isTime(issuedAt)) return badClaim('iat');
  const times = { issuedAt, notBefore, expiresAt };
  const fault = timeFault(times, rules.clockToleranceMs, nowMs);
  if (fault !== undefined) return fault;
  if (rules.maxLifetimeMs === undefined) return times;
  if (issuedAt === undefined) return badClaim('iat');
  return (expiresAt - issuedAt) * 1000 > rules.maxLifetimeMs
    ? new Refusal('token_lifetime_exceeded', 'the token lives longer than this issuer may say')
    : times;
}

/** Seconds that a Date can hold; 1e300 would be a token for ever. */
function isTime(value: JsonObject[string] | undefined): value is number {
  return typeof value === 'number' && Math.abs(value) <= 8.64e12;
}

/** A token is good while `nbf`, `iat` − tolerance ≤ now < `exp` + tolerance (RFC 7519 §4.1.4–6). */
export function timeFault(times: Times, toleranceMs: number, nowMs: number): Refusal | undefined {
  if (nowMs >= times.expiresAt * 1000 + toleranceMs) {
    return new Refusal('token_expired', 'the token has expired');
  }
  const from = Math.max(times.notBefore ?? 0, times.issuedAt ?? 0);
  if (nowMs < from * 1000 - toleranceMs) {
    return new Refusal('token_not_yet_valid', 'the token is not valid yet');
  }
  return undefined;
}

/** RFC 7519 §4.1.3: a text or a list of texts, one of them ours, compared exactly. */
function hasAudience(claim: JsonObject[string] | undefined, accepted: readonly string[]): boolean {
  if (typeof claim === 'string') return accepted.includes(claim);
  if (!Array.isArray(claim) || !claim.every((value) => typeof value === 'string')) return false;
  return claim.some((value) => accepted.includes(value));
}
