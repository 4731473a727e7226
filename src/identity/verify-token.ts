import { hash } from 'node:crypto';
import { Refusal } from '../errors.js';
import { isJsonObject, type JsonObject, member } from '../json/json-value.js';
import type { BundleSource, KeySet, KeySource } from '../trust/key-source.js';
import type { SpiffeId, TokenIdentity } from './caller.js';
import { type CompactJws, parseCompactJws } from './compact-jws.js';
import type { Credential } from './credential.js';
import { parseSpiffeId } from './spiffe-id.js';
import { type JwtRules, timeFault, type VerifiedJwt, verifyJwt } from './verify-jwt.js';

/** One configured issuer of JWTs (`trust.jwt`). */
export interface TokenIssuer {
  readonly name: string;
  readonly rules: JwtRules;
  readonly keys: KeySource;
  /** The only header its tokens are read from, lower case. */
  readonly header: string;
  readonly singleUse: boolean;
}

export interface TokenOptions {
  readonly issuers: readonly TokenIssuer[];
  readonly trustDomains: ReadonlySet<string>;
  /** Set where JWT-SVIDs are accepted. */
  readonly jwtSvid: { readonly audiences: readonly string[] } | undefined;
  readonly bundles: BundleSource | undefined;
  readonly maxTokenBytes: number;
}

/** A verified token before its proof of possession. */
export interface VerifiedToken {
  /** As long as nothing is proven of who holds its key. */
  readonly identity: TokenIdentity;
  readonly notBefore: number | undefined;
  readonly toleranceMs: number;
  readonly singleUse: boolean;
}

export type TokenVerifier = (credential: Credential, nowMs: number) => VerifiedToken | Refusal;

/** Who vouches for a token: the rules it is held to and the keys in force. */
interface Validator {
  readonly rules: JwtRules;
  readonly currentKeys: () => KeySet | Refusal;
  readonly missing: (keyId: string | undefined) => void;
  readonly kind: TokenIdentity['kind'];
  readonly issuer: string;
  readonly spiffeId: SpiffeId | undefined;
  readonly singleUse: boolean;
}

interface Cached {
  readonly generation: number;
  readonly validator: Validator;
  readonly token: VerifiedToken;
}

const maxCached = 8192;

/** JWT-SVID §3: no other algorithm may be accepted; EdDSA is not among them. */
const svidAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
];
const svidToleranceMs = 5_000;

/**
 * Verifies tokens, each distinct one once per key set: a hit in the cache (keyed by digest, never
 * holding the token) is synchronous, and re-checks the times and that the keys are still the same.
 */
export function createTokenVerifier(options: TokenOptions): TokenVerifier {
  const cache = new Map<string, Cached>();
  return (credential, nowMs) => {
    const key = `${credential.header} ${digest(credential.token)}`;
    const known = cache.get(key);
    if (known !== undefined) {
      const keys = known.validator.currentKeys();
      if (keys instanceof Refusal) return keys;
      const checked = recheck(known.token, nowMs);
      if (keys.generation === known.generation && !(checked instanceof Refusal)) return checked;
      cache.delete(key);
      if (keys.generation === known.generation) return checked;
    }
    return verify(credential, options, nowMs, (verified) => {
      if (cache.size >= maxCached) forgetOldest(cache);
      cache.set(key, verified);
    });
  };
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url');
}

function forgetOldest(cache: Map<string, Cached>): void {
  for (const key of cache.keys()) {
    cache.delete(key);
    return;
  }
}

function recheck(token: VerifiedToken, nowMs: number): VerifiedToken | Refusal {
  const { issuedAt, expiresAt } = token.identity;
  const times = { issuedAt, expiresAt, notBefore: token.notBefore };
  return timeFault(times, token.toleranceMs, nowMs) ?? token;
}

function verify(
  credential: Credential,
  options: TokenOptions,
  nowMs: number,
  remember: (verified: Cached) => void,
): VerifiedToken | Refusal {
  const jws = parseCompactJws(credential.token, options.maxTokenBytes);
  if (jws instanceof Refusal) return jws;
  const validator = chooseValidator(jws, credential.header, options);
  if (validator instanceof Refusal) return validator;
  const isTyped = jws.type !== undefined && jws.type !== 'JWT' && jws.type !== 'JOSE';
  if (validator.kind === 'jwt-svid' && isTyped) {
    // JWT-SVID §2.3: exactly one of these, where RFC 7515 would ignore the case.
    return new Refusal('token_type_refused', 'the type of the token is not one of a JWT-SVID');
  }
  const keys = validator.currentKeys();
  if (keys instanceof Refusal) return keys;
  const verified = verifyJwt(jws, validator.rules, keys, nowMs);
  if (verified instanceof Refusal) {
    if (verified.code === 'token_key_unknown') validator.missing(jws.keyId);
    return verified;
  }
  if (isOtherKind(verified)) {
    return new Refusal('token_type_refused', 'the token is not one that gives access');
  }
  const token = describe(verified, validator, credential);
  if (token instanceof Refusal) return token;
  remember({ generation: keys.generation, validator, token });
  return token;
}

/**
 * PRODUCT.md, Answers: `iss` equals a configured issuer → that one; else `sub` is a SPIFFE id and
 * JWT-SVIDs are accepted → the bundle of the trust domain in `sub`. Read before verification, so
 * used for nothing but this choice; the verified payload is the same object.
 */
function chooseValidator(
  jws: CompactJws,
  header: string,
  options: TokenOptions,
): Validator | Refusal {
  const iss = member(jws.payload, 'iss');
  const named = options.issuers.filter(
    ({ rules }) => typeof iss === 'string' && rules.issuer === iss,
  );
  const issuer = named.find((candidate) => candidate.header === header);
  if (issuer !== undefined) {
    return {
      rules: issuer.rules,
      currentKeys: () => issuer.keys.current(),
      missing: (keyId) => issuer.keys.missing(keyId),
      kind: 'jwt',
      issuer: issuer.name,
      spiffeId: undefined,
      singleUse: issuer.singleUse,
    };
  }
  const sub = member(jws.payload, 'sub');
  if (named.length > 0 || header !== 'authorization' || typeof sub !== 'string') {
    return unknownIssuer();
  }
  return svidValidator(sub, options);
}

function unknownIssuer(): Refusal {
  return new Refusal('token_issuer_unknown', 'no configured issuer vouches for the token here');
}

function svidValidator(sub: string, options: TokenOptions): Validator | Refusal {
  const { jwtSvid, bundles } = options;
  if (jwtSvid === undefined || bundles === undefined) return unknownIssuer();
  const id = parseSpiffeId(sub);
  if (typeof id === 'string') return unknownIssuer();
  if (id.segments.length === 0) {
    return new Refusal('token_claim_invalid', 'the claim "sub" is a trust domain, no workload');
  }
  if (!options.trustDomains.has(id.trustDomain)) {
    return new Refusal(
      'trust_domain_refused',
      `the trust domain ${id.trustDomain} is not accepted`,
    );
  }
  return {
    rules: {
      issuer: undefined,
      audiences: jwtSvid.audiences,
      algorithms: svidAlgorithms,
      types: ['', 'jwt', 'jose'],
      requireKeyId: true,
      maxLifetimeMs: undefined,
      clockToleranceMs: svidToleranceMs,
      requiredClaims: [],
    },
    currentKeys: () => bundles.jwtKeys(id.trustDomain),
    missing: (keyId) => bundles.missing(id.trustDomain, keyId),
    kind: 'jwt-svid',
    issuer: id.trustDomain,
    spiffeId: id,
    singleUse: false,
  };
}

/** ID tokens (OIDC Core §2) and security events (RFC 8417 §2.2) with a generic `typ`. */
function isOtherKind({ claims }: VerifiedJwt): boolean {
  const names = ['nonce', 'at_hash', 'c_hash', 's_hash', 'events'];
  return names.some((name) => Object.hasOwn(claims, name)) || member(claims, 'typ') === 'ID';
}

function describe(
  verified: VerifiedJwt,
  validator: Validator,
  credential: Credential,
): VerifiedToken | Refusal {
  const { claims, subject } = verified;
  const actor = member(claims, 'act');
  if (actor !== undefined && !isJsonObject(actor)) {
    return new Refusal('token_claim_invalid', 'the claim "act" is not an object');
  }
  if (validator.singleUse && verified.jti === undefined) {
    return new Refusal('token_claim_invalid', 'the claim "jti" is missing or of a wrong type');
  }
  const identity = {
    kind: validator.kind,
    id: validator.spiffeId?.text ?? `${validator.issuer}:${subject}`,
    issuer: validator.issuer,
    subject,
    spiffeId: validator.spiffeId,
    claims,
    actor,
    scopes: scopesOf(claims),
    jti: verified.jti,
    keyId: verified.keyId,
    issuedAt: verified.issuedAt,
    expiresAt: verified.expiresAt,
    proof: 'none',
    header: credential.header,
  } as const;
  return {
    identity,
    notBefore: verified.notBefore,
    toleranceMs: validator.rules.clockToleranceMs,
    singleUse: validator.singleUse,
  };
}

/** RFC 8693 §4.2: `scope` is a text of blanks and names; some issuers write `scp` as a list. */
export function scopesOf(claims: JsonObject): readonly string[] {
  const claim = member(claims, 'scope') ?? member(claims, 'scp');
  if (typeof claim === 'string') return claim.split(' ').filter((scope) => scope !== '');
  if (!Array.isArray(claim)) return [];
  return claim.filter((scope) => typeof scope === 'string');
}
