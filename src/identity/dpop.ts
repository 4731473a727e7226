import { createHash, createHmac, createPublicKey, timingSafeEqual } from 'node:crypto';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { Refusal } from '../errors.js';
import { isJsonObject, type JsonObject, member } from '../json/json-value.js';
import type { ReplayStore } from '../replay/replay-store.js';
import type { HttpRequest, Request } from '../request/request.js';
import { type CompactJws, parseCompactJws } from './compact-jws.js';
import { isSigned } from './jws-signature.js';
import type { ProofContext } from './proof.js';
import { canonicalType } from './verify-jwt.js';

export interface DpopOptions {
  /** External origins that `htu` may name; empty: the request's own scheme and host. */
  readonly origins: readonly string[];
  readonly maxAgeMs: number;
  readonly nonce: 'off' | 'required';
  /** Keys the stateless nonces; the same on every sidecar that shares callers. */
  readonly nonceSecret: Uint8Array;
  readonly replay: ReplayStore;
}

export interface DpopVerifier {
  verify(
    request: Request,
    token: string,
    jkt: string,
    context: ProofContext,
  ): Promise<'dpop' | Refusal>;
}

const algorithms = new Set(['ES256', 'ES384', 'ES512', 'PS256', 'RS256', 'EdDSA', 'Ed25519']);
const maxProofBytes = 8 * 1024;
const toleranceMs = 5_000;

/** Verifies DPoP proofs by the list of RFC 9449 §4.3, in its order. */
export function createDpopVerifier(options: DpopOptions): DpopVerifier {
  return {
    async verify(request, token, jkt, context) {
      if (request.kind !== 'http') return invalid('a connection carries no DPoP proof');
      const lines = request.headers.get('dpop');
      if (lines === undefined) return new Refusal('proof_missing', 'there is no DPoP proof');
      const [line = ''] = lines;
      if (lines.length > 1 || line.includes(',')) return invalid('there are two DPoP proofs');
      const jws = parseCompactJws(line, maxProofBytes, 'jwk');
      if (jws instanceof Refusal) return invalid(jws.detail);
      const fault = await keyFault(jws, jkt);
      if (fault !== undefined) return invalid(fault);
      const mismatch = claimFault(jws.payload, request, token, options, context.nowMs);
      if (mismatch !== undefined) return invalid(mismatch);
      if (options.nonce === 'required') {
        const stale = nonceFault(jws.payload, options, context.nowMs);
        if (stale !== undefined) return stale;
      }
      return spend(jws.payload, jkt, options, context);
    },
  };
}

function invalid(detail: string): Refusal {
  return new Refusal('proof_invalid', detail);
}

async function keyFault(jws: CompactJws, jkt: string): Promise<string | undefined> {
  if (canonicalType(jws.type) !== 'dpop+jwt') return 'the DPoP proof is not of type dpop+jwt';
  if (!algorithms.has(jws.algorithm)) return 'the algorithm of the DPoP proof is not accepted';
  const jwk = member(jws.header, 'jwk');
  if (!isJsonObject(jwk) || Object.hasOwn(jwk, 'd') || member(jwk, 'kty') === 'oct') {
    return 'the DPoP proof does not bring a public key';
  }
  try {
    const key: JWK = { ...jwk } as JWK;
    const thumbprint = await calculateJwkThumbprint(key, 'sha256');
    if (!isEqual(thumbprint, jkt)) return 'the DPoP proof is by another key than the token names';
    if (isSigned(jws, createPublicKey({ key, format: 'jwk' }))) return undefined;
  } catch {
    // A key that is none signs nothing.
  }
  return 'the signature of the DPoP proof does not hold';
}

function isEqual(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}

function claimFault(
  claims: JsonObject,
  request: HttpRequest,
  token: string,
  options: DpopOptions,
  nowMs: number,
): string | undefined {
  const issuedAt = member(claims, 'iat');
  const jti = member(claims, 'jti');
  if (typeof jti !== 'string' || jti === '') return 'the DPoP proof has no jti';
  if (member(claims, 'htm') !== request.method) return 'the DPoP proof is for another method';
  if (!isTarget(member(claims, 'htu'), request, options.origins)) {
    return 'the DPoP proof is for another URI';
  }
  const hash = createHash('sha256').update(token).digest('base64url');
  const ath = member(claims, 'ath');
  if (typeof ath !== 'string' || !isEqual(ath, hash)) return 'the DPoP proof is for another token';
  if (typeof issuedAt !== 'number') return 'the DPoP proof has no iat';
  const ageMs = nowMs - issuedAt * 1000;
  if (ageMs > options.maxAgeMs || ageMs < -toleranceMs) return 'the DPoP proof is not fresh';
  return undefined;
}

/** Compares `htu` with the external URI of the request, both in RFC 3986 §6.2 normal form. */
function isTarget(
  htu: JsonObject[string] | undefined,
  request: HttpRequest,
  origins: readonly string[],
): boolean {
  if (typeof htu !== 'string' || !/^https?:\/\//i.test(htu) || /[?#\\\s]/.test(htu)) return false;
  const { host, scheme, path } = request;
  const port = host.port === undefined ? '' : `:${host.port}`;
  const own = origins.length > 0 ? origins : [`${scheme}://${host.name}${port}`];
  const shown = normalUri(htu);
  return shown !== undefined && own.some((origin) => normalUri(`${origin}${path.raw}`) === shown);
}

function normalUri(text: string): string | undefined {
  const [, rest = ''] = /^https?:\/\/[^/]*(\/.*)?$/i.exec(text) ?? [];
  if (!URL.canParse(text) || rest.split('/').some((part) => /^(?:\.|%2e){1,2}$/i.test(part))) {
    return undefined;
  }
  const { origin, pathname, username, password } = new URL(text);
  if (username !== '' || password !== '') return undefined;
  const unreserved = pathname.replace(/%[0-9a-f]{2}/gi, (encoded) => {
    const char = String.fromCharCode(Number.parseInt(encoded.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(char) ? char : encoded.toUpperCase();
  });
  return `${origin}${unreserved}`;
}

/** RFC 9449 §8: a nonce of this or the last time bucket; a refusal brings the one to use. */
function nonceFault(claims: JsonObject, options: DpopOptions, nowMs: number): Refusal | undefined {
  const bucket = Math.floor(nowMs / options.maxAgeMs);
  const nonce = member(claims, 'nonce');
  const accepted = [bucket, bucket - 1].map((time) => nonceOf(time, options.nonceSecret));
  if (typeof nonce === 'string' && accepted.some((known) => isEqual(known, nonce))) {
    return undefined;
  }
  return new Refusal('proof_invalid', 'the DPoP proof has no nonce of ours', accepted[0]);
}

function nonceOf(bucket: number, secret: Uint8Array): string {
  return createHmac('sha256', secret).update(`dpop-nonce ${bucket}`).digest('base64url');
}

async function spend(
  claims: JsonObject,
  jkt: string,
  options: DpopOptions,
  context: ProofContext,
): Promise<'dpop' | Refusal> {
  const name = `dpop ${jkt} ${String(member(claims, 'jti'))}`;
  const credential = createHash('sha256').update(name).digest('base64url');
  const untilMs = context.nowMs + options.maxAgeMs + 2 * toleranceMs;
  const spent = await options.replay.spend(credential, context.requestDigest(), untilMs);
  if (spent === 'first' || spent === 'again') return 'dpop';
  return spent === 'used'
    ? new Refusal('token_replayed', 'the DPoP proof was used before')
    : new Refusal('store_unavailable', 'the replay store cannot be asked');
}
