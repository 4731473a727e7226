import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import { parseJson } from '../json/parse-json.js';
import type { KeySet, VerificationKey } from './key-source.js';

/** The signature algorithms that may be configured: asymmetric ones only (RFC 7518 §3, RFC 8037). */
export const algorithmKinds: Readonly<Record<string, readonly string[]>> = {
  RSA: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  'EC P-256': ['ES256'],
  'EC P-384': ['ES384'],
  'EC P-521': ['ES512'],
  'OKP Ed25519': ['EdDSA', 'Ed25519'],
};

export const asymmetricAlgorithms: readonly string[] = Object.values(algorithmKinds).flat();

export interface ParsedJwks {
  readonly keySet: KeySet;
  /** Why keys of the document were skipped, one sentence each. */
  readonly warnings: readonly string[];
}

const limits = { maxDepth: 16, maxBytes: 256 * 1024 };
const maxKeys = 100;
let generations = 0;

/** A new set of keys, told apart from every other in this process. */
export function createKeySet(keys: readonly VerificationKey[]): KeySet {
  generations += 1;
  return { generation: generations, keys };
}

/**
 * Reads a JWK Set (RFC 7517 §5) for one issuer. A key that cannot be used is skipped with a warning;
 * a set without a usable key is a good answer: it revokes the issuer. A document that is no JWK Set
 * is refused with a sentence.
 */
export function parseJwks(text: string, algorithms: readonly string[]): ParsedJwks | string {
  const document = parseJson(text, limits);
  if (!document.ok) return `the key set cannot be read: ${document.why}`;
  const entries = isJsonObject(document.value) ? member(document.value, 'keys') : undefined;
  if (!isList(entries)) return 'the key set has no list "keys"';
  if (entries.length > maxKeys) return `the key set has over ${maxKeys} keys`;
  return readKeys(entries, (jwk) => usageFault(jwk), algorithms);
}

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Reads the usable keys of a JWK list, and says why the others are skipped. */
export function readKeys(
  entries: readonly JsonValue[],
  refuse: (jwk: JsonObject) => string | undefined,
  algorithms: readonly string[],
): ParsedJwks {
  const warnings: string[] = [];
  const keys: VerificationKey[] = [];
  for (const [index, jwk] of entries.entries()) {
    const key = isJsonObject(jwk) ? (refuse(jwk) ?? readKey(jwk, algorithms)) : 'it is no object';
    if (typeof key === 'string') warnings.push(`key ${index + 1} is skipped: ${key}`);
    else keys.push(key);
  }
  return { keySet: createKeySet(keys), warnings };
}

/** RFC 7517 §4.2, §4.3: a key set aside for something else than signatures. */
function usageFault(jwk: JsonObject): string | undefined {
  const use = member(jwk, 'use');
  const operations = member(jwk, 'key_ops');
  if (use !== undefined && use !== 'sig') return 'its "use" is not "sig"';
  if (isList(operations) && !operations.includes('verify')) return 'its "key_ops" lack "verify"';
  return undefined;
}

function readKey(jwk: JsonObject, algorithms: readonly string[]): VerificationKey | string {
  const kid = member(jwk, 'kid');
  const alg = member(jwk, 'alg');
  if (kid !== undefined && typeof kid !== 'string') return 'its "kid" is not a text';
  if (alg !== undefined && typeof alg !== 'string') return 'its "alg" is not a text';
  if (member(jwk, 'kty') === 'oct') return 'it is a shared secret';
  if (Object.hasOwn(jwk, 'd')) return 'it is a private key';
  const kind = kindOf(jwk);
  const fitting = algorithmKinds[kind];
  if (fitting === undefined) return `keys of kind "${kind}" are not supported`;
  if (alg !== undefined && !fitting.includes(alg)) return `its "alg" is not one of a ${kind} key`;
  if (!fitting.some((name) => algorithms.includes(name))) {
    return `no accepted algorithm uses a ${kind} key`;
  }
  const key = importKey(jwk);
  if (typeof key === 'string') return key;
  return { kid, alg, key, thumbprint: thumbprint(key) };
}

function kindOf(jwk: JsonObject): string {
  const kty = String(member(jwk, 'kty'));
  const crv = member(jwk, 'crv');
  return kty === 'RSA' ? kty : `${kty} ${String(crv)}`;
}

function importKey(jwk: JsonObject): KeyObject | string {
  try {
    // createPublicKey refuses a point that is not on its curve.
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const { modulusLength = 2048, publicExponent = 65537n } = key.asymmetricKeyDetails ?? {};
    if (modulusLength < 2048) return 'it is an RSA key of fewer than 2048 bits';
    // With an exponent of 1 every text is its own signature.
    return publicExponent < 3n || publicExponent % 2n === 0n
      ? 'its RSA exponent signs nothing'
      : key;
  } catch {
    return 'it is not a valid key';
  }
}

/** SHA-256 of the key's canonical DER: one key has one thumbprint, whatever it is called. */
function thumbprint(key: KeyObject): string {
  const der = key.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(der).digest('base64url');
}
