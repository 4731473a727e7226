import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { Refusal } from '../../src/errors.js';
import type { Caller } from '../../src/identity/caller.js';
import { createIdentifier, type IdentityOptions } from '../../src/identity/identify.js';
import type { TokenIssuer } from '../../src/identity/verify-token.js';
import { memoryStore } from '../../src/replay/memory-store.js';
import type { HttpRequest } from '../../src/request/request.js';
import { createKeySet } from '../../src/trust/jwks.js';
import type { BundleSource, KeySource, VerificationKey } from '../../src/trust/key-source.js';

/** The clock of all identity tests, in seconds and in milliseconds. */
export const now = 1_795_000_000;
export const nowMs = now * 1000;

export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const kinds: Readonly<Record<string, () => { privateKey: KeyObject; publicKey: KeyObject }>> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  RS1024: () => generateKeyPairSync('rsa', { modulusLength: 1024 }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

export function newKey(kid: string, kind = 'ES256'): SigningKey {
  const make = kinds[kind];
  if (make === undefined) throw new Error(`no keys of kind ${kind}`);
  return { kid, alg: kind === 'RS1024' ? 'RS256' : kind, ...make() };
}

/** Signs as RFC 7518 §3 has it, with node:crypto alone: an opinion independent of the verifier's. */
export function signBytes(input: string, { alg, privateKey }: SigningKey): Buffer {
  const bytes = Buffer.from(input);
  if (alg === 'EdDSA') return sign(null, bytes, privateKey);
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith('ES'))
    return sign(hash, bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  if (alg.startsWith('RS')) return sign(hash, bytes, privateKey);
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return sign(hash, bytes, { key: privateKey, padding, saltLength: Number(alg.slice(2)) / 8 });
}

export const base64url = (text: string | Uint8Array) => Buffer.from(text).toString('base64url');

/** Signs header and payload as they are given: text is taken as it stands, an object as JSON. */
export function signRaw(
  header: object | string,
  payload: object | string,
  key: SigningKey,
): string {
  const part = (value: object | string) =>
    base64url(typeof value === 'string' ? value : JSON.stringify(value));
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${base64url(signBytes(input, key))}`;
}

export const corpKey = newKey('corp-1');
export const otherKey = newKey('other-1');
export const svidKey = newKey('svid-1');

/** A good payload of the issuer `corp`; a member given as undefined is left out. */
export function claims(changes: object = {}): object {
  const good = {
    iss: 'https://idp.example',
    aud: 'payments',
    sub: 'agent-7',
    iat: now - 60,
    exp: now + 240,
    jti: 'j-1',
  };
  return { ...good, ...changes };
}

export function corpToken(changes: object = {}, header: object = {}, key = corpKey): string {
  return signRaw({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header }, claims(changes), key);
}

export function svidToken(changes: object = {}, header: object = {}, key = svidKey): string {
  const payload = { sub: 'spiffe://prod.example/ns/a/sa/bot', aud: ['payments'], exp: now + 240 };
  return signRaw({ alg: key.alg, kid: key.kid, ...header }, { ...payload, ...changes }, key);
}

export function verificationKey(key: SigningKey, changes: Partial<VerificationKey> = {}) {
  const der = key.publicKey.export({ type: 'spki', format: 'der' });
  const thumbprint = createHash('sha256').update(der).digest('base64url');
  return { kid: key.kid, alg: undefined, key: key.publicKey, thumbprint, ...changes };
}

/** Keys that a test may replace; it counts what it is told to be missing. */
export interface ChangingKeys extends KeySource {
  replace(keys: readonly VerificationKey[] | Refusal): void;
  readonly asked: (string | undefined)[];
}

export function changingKeys(keys: readonly VerificationKey[] | Refusal): ChangingKeys {
  const wrap = (next: readonly VerificationKey[] | Refusal) =>
    next instanceof Refusal ? next : createKeySet(next);
  let current = wrap(keys);
  const asked: (string | undefined)[] = [];
  return {
    current: () => current,
    missing: (kid) => asked.push(kid),
    close: () => {},
    replace: (next) => {
      current = wrap(next);
    },
    asked,
  };
}

/** Bundles per trust domain, each with its own JWT keys and X.509 authorities. */
export function bundlesOf(
  keys: Readonly<Record<string, readonly SigningKey[]>>,
  authorities: Readonly<Record<string, readonly Uint8Array[]>> = {},
): BundleSource {
  const sets = new Map(
    Object.entries(keys).map(([name, list]) => [
      name,
      createKeySet(list.map((key) => verificationKey(key))),
    ]),
  );
  const away = new Refusal('bundle_unavailable', 'no bundle');
  return {
    jwtKeys: (trustDomain) => sets.get(trustDomain) ?? away,
    x509Authorities: (trustDomain) => authorities[trustDomain],
    missing: () => {},
    close: () => {},
  };
}

export function issuerOf(
  changes: Partial<Omit<TokenIssuer, 'rules'>> & { rules?: Partial<TokenIssuer['rules']> } = {},
): TokenIssuer {
  const rules = {
    issuer: 'https://idp.example',
    audiences: ['payments'],
    algorithms: ['ES256'],
    types: ['', 'jwt', 'at+jwt'],
    requireKeyId: false,
    maxLifetimeMs: undefined,
    clockToleranceMs: 5000,
    requiredClaims: [],
  };
  return {
    name: 'corp',
    keys: changingKeys([verificationKey(corpKey)]),
    header: 'authorization',
    singleUse: false,
    ...changes,
    rules: { ...rules, ...changes.rules },
  };
}

type Settings = Partial<Omit<IdentityOptions, 'peer' | 'token' | 'dpop'>> & {
  readonly peer?: Partial<IdentityOptions['peer']>;
  readonly token?: Partial<IdentityOptions['token']>;
  readonly dpop?: Partial<IdentityOptions['dpop']>;
};

/** A memory store at the time of all identity tests. */
export const storeOf = (size: number) =>
  memoryStore(() => size, { nowMs: () => nowMs, monotonicMs: () => nowMs });

/** An identifier over real keys and a real store, with one issuer `corp` and the domain prod.example. */
export function identifierOf({ peer, token, dpop, ...changes }: Settings = {}) {
  const trustDomains = new Set(['prod.example']);
  const replay = changes.replay ?? storeOf(100);
  return createIdentifier({
    onInvalidToken: 'deny',
    replay,
    ...changes,
    peer: { trustDomains, certificate: 'optional', xfcc: 'off', bundles: undefined, ...peer },
    token: {
      issuers: [issuerOf()],
      trustDomains,
      jwtSvid: { audiences: ['payments'] },
      bundles: bundlesOf({ 'prod.example': [svidKey] }),
      maxTokenBytes: 16 * 1024,
      ...token,
    },
    dpop: {
      origins: ['https://api.example'],
      maxAgeMs: 60_000,
      nonce: 'off',
      nonceSecret: Buffer.alloc(32, 7),
      replay,
      ...dpop,
    },
  });
}

export function requestOf(
  headers: Readonly<Record<string, string | readonly string[]>> = {},
  changes: Partial<HttpRequest> = {},
): HttpRequest {
  return {
    kind: 'http',
    peer: { principal: '', certificatePem: undefined },
    destination: { principal: '', ip: undefined, port: undefined },
    client: undefined,
    sni: '',
    envoy: { contextExtensions: new Map(), metadata: new Map(), routeMetadata: new Map() },
    id: '1',
    method: 'GET',
    scheme: 'https',
    protocol: 'HTTP/1.1',
    host: { name: 'api.example', port: undefined },
    path: { raw: '/orders/17', segments: ['orders', '17'] },
    rawQuery: '',
    headers: new Map(
      Object.entries(headers).map(([name, value]) => [name, [value].flat() as string[]]),
    ),
    startedAtMs: undefined,
    body: { state: 'absent' },
    upgrade: [],
    grpc: undefined,
    ...changes,
  };
}

export const bearer = (token: string, changes: Partial<HttpRequest> = {}) =>
  requestOf({ authorization: `Bearer ${token}` }, changes);

export const context = (digest = 'check-1', atMs = nowMs) => ({
  nowMs: atMs,
  requestDigest: () => digest,
});

/** The outcome in one word: the refusal's code, else the ids that the caller was given. */
export function outcomeOf(result: Caller | Refusal): string {
  if (result instanceof Refusal) return result.code;
  const ids = [result.peer?.spiffeId.text, result.token?.id].filter((id) => id !== undefined);
  return ids.length === 0 ? 'nobody' : ids.join(' ');
}

/** The (r, n−s) twin of an ES256 token: other bytes, and as good a signature. */
export function malleableTwin(token: string): string {
  const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
  const [head, body, signature = ''] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const twin = Buffer.from((order - s).toString(16).padStart(64, '0'), 'hex');
  return `${head}.${body}.${base64url(Buffer.concat([bytes.subarray(0, 32), twin]))}`;
}

export const publicJwk = (key: SigningKey) =>
  createPublicKey(key.privateKey).export({ format: 'jwk' });
