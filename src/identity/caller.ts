import { type JsonObject, member } from '../json/json-value.js';

/** Who asks, after every credential in the request was verified. Neither set: no identity. */
export interface Caller {
  readonly peer: PeerIdentity | undefined;
  readonly token: TokenIdentity | undefined;
  /** The client certificate of a caller without peer identity: it may bind a token, or be revoked. */
  readonly certificate?: PeerCertificate;
}

/** A SPIFFE ID that its parser accepted (SPIFFE-ID §2). Compare by parts, never by text prefix. */
export interface SpiffeId {
  readonly text: string;
  readonly trustDomain: string;
  readonly segments: readonly string[];
}

/** The mTLS peer. */
export interface PeerIdentity {
  readonly spiffeId: SpiffeId;
  /** Present when Envoy sent the certificate (or XFCC carried its hash). */
  readonly certificate: PeerCertificate | undefined;
}

export interface PeerCertificate {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  readonly sha256: string;
  /** Seconds since the epoch; undefined when only a hash is known (XFCC). */
  readonly notBefore: number | undefined;
}

/** A verified token: every field below was signed by a key of its issuer. */
export interface TokenIdentity {
  readonly kind: 'jwt' | 'jwt-svid';
  /** `issuerName:subject`, or the SPIFFE id of a JWT-SVID. */
  readonly id: string;
  /** The configured name of the issuer; for a JWT-SVID its trust domain. */
  readonly issuer: string;
  readonly subject: string;
  /** Set for a JWT-SVID. */
  readonly spiffeId: SpiffeId | undefined;
  readonly claims: JsonObject;
  /** The outermost `act` (RFC 8693 §4.1); nested ones are never authority. */
  readonly actor: JsonObject | undefined;
  /** `scope` split at spaces, or `scp`. */
  readonly scopes: readonly string[];
  readonly jti: string | undefined;
  readonly keyId: string | undefined;
  /** Seconds since the epoch. */
  readonly issuedAt: number | undefined;
  readonly expiresAt: number;
  /** How possession of the token's key was proven in this request. */
  readonly proof: 'none' | 'mtls-bound' | 'dpop';
  /** The header it was read from. */
  readonly header: string;
}

/** Every id the caller goes by, the peer's first: for revocation and posture. */
export function callerIds(caller: Caller): readonly string[] {
  const ids: string[] = [];
  if (caller.peer !== undefined) ids.push(caller.peer.spiffeId.text);
  if (caller.token !== undefined) ids.push(caller.token.id);
  return ids;
}

/**
 * Every id by which the caller may be barred: its own, and that of the actor that uses its token
 * (RFC 8693 §4.1, the outermost `act`), since that is who sends the request.
 */
export function barrableIds(caller: Caller): readonly string[] {
  return caller.token?.actor === undefined
    ? callerIds(caller)
    : [...callerIds(caller), ...actorIds(caller.token)];
}

/** `issuerName:subject` of an actor that the token's issuer vouches for; a SPIFFE id is its own. */
export function actorIds({ actor, issuer, claims }: TokenIdentity): readonly string[] {
  const subject = member(actor, 'sub');
  if (typeof subject !== 'string') return [];
  const isSpiffe = subject.startsWith('spiffe://');
  const of = member(actor, 'iss') ?? member(claims, 'iss');
  const isOwn = of === member(claims, 'iss');
  return [...(isSpiffe ? [subject] : []), ...(isOwn ? [`${issuer}:${subject}`] : [])];
}
