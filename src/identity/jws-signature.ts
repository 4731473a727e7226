import { constants, type KeyObject, verify } from 'node:crypto';
import type { CompactJws } from './compact-jws.js';

/** How one algorithm signs, and the only kind of key it does it with (RFC 7518 §3, RFC 8037, RFC 9864). */
interface Scheme {
  /** Null: the algorithm has its own (EdDSA). */
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null;
  readonly keyType: 'rsa' | 'ec' | 'ed25519';
  /** OpenSSL's name of the curve. */
  readonly curve?: string;
  readonly isPss?: true;
  /** Exact length of a signature; of RSA it is the key's. */
  readonly bytes?: number;
}

const rsa = (hash: Scheme['hash']): Scheme => ({ hash, keyType: 'rsa' });
const pss = (hash: Scheme['hash']): Scheme => ({ hash, keyType: 'rsa', isPss: true });
const ecdsa = (hash: Scheme['hash'], curve: string, bytes: number): Scheme => ({
  hash,
  keyType: 'ec',
  curve,
  bytes,
});
const ed25519: Scheme = { hash: null, keyType: 'ed25519', bytes: 64 };

const schemes: ReadonlyMap<string, Scheme> = new Map([
  ['RS256', rsa('sha256')],
  ['RS384', rsa('sha384')],
  ['RS512', rsa('sha512')],
  ['PS256', pss('sha256')],
  ['PS384', pss('sha384')],
  ['PS512', pss('sha512')],
  ['ES256', ecdsa('sha256', 'prime256v1', 64)],
  ['ES384', ecdsa('sha384', 'secp384r1', 96)],
  ['ES512', ecdsa('sha512', 'secp521r1', 132)],
  ['EdDSA', ed25519],
  ['Ed25519', ed25519],
]);

const minRsaBits = 2048;

/**
 * Whether the signature of a compact JWS holds under a key, by the algorithm that the token names and
 * its caller has accepted (RFC 7515 §5.2). False as well where the algorithm is none of these, or the
 * key of another kind, another curve, or too short. Synchronous: a signature is verified once per
 * token, and handing it to a thread costs as much again.
 */
export function isSigned({ token, algorithm }: CompactJws, key: KeyObject): boolean {
  const scheme = schemes.get(algorithm);
  if (scheme === undefined || !fits(scheme, key)) return false;
  const end = token.lastIndexOf('.');
  const signature = Buffer.from(token.slice(end + 1), 'base64url');
  if (scheme.bytes !== undefined && signature.length !== scheme.bytes) return false;
  const input = Buffer.from(token.slice(0, end), 'latin1');
  try {
    return verify(scheme.hash, input, { key, ...paddingOf(scheme) }, signature);
  } catch {
    return false;
  }
}

function fits({ keyType, curve }: Scheme, key: KeyObject): boolean {
  if (key.type !== 'public' || key.asymmetricKeyType !== keyType) return false;
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  return keyType === 'rsa' ? modulusLength >= minRsaBits : namedCurve === curve;
}

function paddingOf({ keyType, isPss }: Scheme) {
  if (keyType === 'ec') return { dsaEncoding: 'ieee-p1363' } as const;
  if (keyType === 'ed25519') return {};
  if (!isPss) return { padding: constants.RSA_PKCS1_PADDING };
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
  return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
}
