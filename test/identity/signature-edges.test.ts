import { constants, createPrivateKey, privateEncrypt, sign } from 'node:crypto';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseJwks } from '../../src/trust/jwks.js';
import {
  base64url,
  changingKeys,
  claims,
  corpKey,
  corpToken,
  issuerOf,
  malleableTwin,
  newKey,
  publicJwk,
  type SigningKey,
  signBytes,
  verificationKey,
} from './fixtures.js';
import { ok, outcome } from './token-table.js';

const refused = 'token_signature_invalid';

/** One curve of RFC 7518 §3.4: its algorithm, the bytes of a coordinate, and the order of its group. */
const curves = [
  {
    algorithm: 'ES256',
    bytes: 32,
    order: 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  },
  {
    algorithm: 'ES384',
    bytes: 48,
    order:
      'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  },
  {
    algorithm: 'ES512',
    bytes: 66,
    order:
      '01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409',
  },
] as const;

const issuerWith = (key: SigningKey, ...algorithms: string[]) => [
  issuerOf({
    rules: { algorithms: algorithms.length === 0 ? [key.alg] : algorithms },
    keys: changingKeys([verificationKey(key)]),
  }),
];

/** Good header and claims for this key, under bytes that `make` gives for the signing input. */
function signedBy(key: SigningKey, make: (input: string) => Uint8Array, alg = key.alg): string {
  const input = `${base64url(JSON.stringify({ alg, kid: key.kid, typ: 'JWT' }))}.${base64url(JSON.stringify(claims()))}`;
  return `${input}.${base64url(make(input))}`;
}

for (const { algorithm, bytes, order } of curves) {
  describe(`a signature by ${algorithm}`, () => {
    const key = newKey('k', algorithm);
    const n = Buffer.from(order, 'hex');
    const number = (value: number) => Buffer.from([value]);
    const padded = (value: Buffer) =>
      Buffer.concat([Buffer.alloc(Math.max(0, bytes - value.length)), value]);
    const pair = (r: Buffer, s: Buffer) => Buffer.concat([padded(r), padded(s)]);
    const above = Buffer.from(n);
    above.writeUInt8(above.readUInt8(bytes - 1) + 1, bytes - 1);
    const real = (input: string) => signBytes(input, key);
    const der = (input: string) =>
      sign(`sha${algorithm.slice(2)}`, Buffer.from(input), key.privateKey);
    const rows: readonly { name: string; make: (input: string) => Uint8Array }[] = [
      { name: 'r = 0, s = 0', make: () => pair(number(0), number(0)) },
      { name: 'r = 0 and the real s', make: (i) => pair(number(0), real(i).subarray(bytes)) },
      { name: 'the real r and s = 0', make: (i) => pair(real(i).subarray(0, bytes), number(0)) },
      { name: 'r = 1, s = 1', make: () => pair(number(1), number(1)) },
      { name: 'r = n, s = n', make: () => pair(n, n) },
      { name: 'r = n + 1, s = 1', make: () => pair(above, number(1)) },
      { name: 'all bits set', make: () => Buffer.alloc(2 * bytes, 0xff) },
      { name: 'a DER signature', make: der },
      { name: 'one byte less', make: (i) => real(i).subarray(1) },
      { name: 'one byte more before', make: (i) => Buffer.concat([number(0), real(i)]) },
      { name: 'one byte more behind', make: (i) => Buffer.concat([real(i), number(0)]) },
      { name: 'half of it', make: (i) => real(i).subarray(0, bytes) },
      { name: 'it twice', make: (i) => Buffer.concat([real(i), real(i)]) },
      {
        name: 's and r exchanged',
        make: (i) => pair(real(i).subarray(bytes), real(i).subarray(0, bytes)),
      },
      { name: 'a signature of other bytes', make: (i) => real(`${i}.`) },
    ];
    for (const { name, make } of rows) {
      it(`does not hold with ${name}`, async () => {
        expect(await outcome(signedBy(key, make), issuerWith(key))).to.equal(refused);
      });
    }

    it('holds as it was made', async () => {
      expect(await outcome(signedBy(key, real), issuerWith(key))).to.equal(ok);
    });
  });
}

describe('a signature by RSA', () => {
  const key = newKey('rsa', 'RS256');
  const real = (input: string) => signBytes(input, key);
  const pss =
    (saltLength: number, hash = 'sha256') =>
    (input: string) =>
      sign(hash, Buffer.from(input), {
        key: key.privateKey,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength,
      });
  const rows: readonly { name: string; make: (input: string) => Uint8Array; alg?: string }[] = [
    { name: 'zero', make: () => Buffer.alloc(256) },
    { name: 'one', make: () => Buffer.concat([Buffer.alloc(255), Buffer.from([1])]) },
    { name: 'a byte more before', make: (i) => Buffer.concat([Buffer.alloc(1), real(i)]) },
    { name: 'a byte less', make: (i) => real(i).subarray(1) },
    { name: 'SHA-512 under RS256', make: (i) => sign('sha512', Buffer.from(i), key.privateKey) },
    { name: 'SHA-1 under RS256', make: (i) => sign('sha1', Buffer.from(i), key.privateKey) },
    { name: 'PSS under RS256', make: pss(32) },
    { name: 'PKCS #1 v1.5 under PS256', make: real, alg: 'PS256' },
    { name: 'PSS with a salt of no byte under PS256', make: pss(0), alg: 'PS256' },
    { name: 'PSS with a salt of 20 bytes under PS256', make: pss(20), alg: 'PS256' },
    { name: 'PSS by SHA-512 under PS256', make: pss(64, 'sha512'), alg: 'PS256' },
    {
      name: 'the hash without its DigestInfo',
      make: (i) => privateEncrypt(key.privateKey, Buffer.from(i).subarray(0, 32)),
    },
  ];
  const issuer = () => issuerWith(key, 'RS256', 'PS256');
  for (const { name, make, alg } of rows) {
    it(`does not hold with ${name}`, async () => {
      expect(await outcome(signedBy(key, make, alg), issuer())).to.equal(refused);
    });
  }

  it('holds as RS256 and as PS256 with a salt as long as the hash', async () => {
    expect(await outcome(signedBy(key, real), issuer())).to.equal(ok);
    expect(await outcome(signedBy(key, pss(32), 'PS256'), issuer())).to.equal(ok);
  });
});

describe('a signature by Ed25519', () => {
  const key = newKey('ed', 'EdDSA');
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const real = (input: string) => signBytes(input, key);
  /** The same signature with another number s, which an old verifier would reduce by the order. */
  const withS = (change: (s: bigint) => bigint) => (input: string) => {
    const bytes = real(input);
    const s = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString('hex')}`);
    const hex = change(s).toString(16).padStart(64, '0');
    return Buffer.concat([bytes.subarray(0, 32), Buffer.from(hex, 'hex').reverse()]);
  };
  const rows: readonly { name: string; make: (input: string) => Uint8Array }[] = [
    { name: 'zero', make: () => Buffer.alloc(64) },
    { name: 's + the order', make: withS((s) => s + order) },
    { name: 's = 0', make: withS(() => 0n) },
    { name: 'the order − s', make: withS((s) => order - s) },
    {
      name: 'the neutral point and s = 0',
      make: () => Buffer.concat([Buffer.from([1]), Buffer.alloc(63)]),
    },
    { name: 'a byte less', make: (i) => real(i).subarray(1) },
    { name: 'a byte more', make: (i) => Buffer.concat([real(i), Buffer.alloc(1)]) },
    { name: 'a signature of other bytes', make: (i) => real(`${i}.`) },
  ];
  for (const { name, make } of rows) {
    it(`does not hold with ${name}`, async () => {
      expect(await outcome(signedBy(key, make), issuerWith(key))).to.equal(refused);
    });
  }

  it('holds as it was made', async () => {
    expect(await outcome(signedBy(key, real), issuerWith(key))).to.equal(ok);
    expect(
      await outcome(
        signedBy(
          key,
          withS((s) => s),
        ),
        issuerWith(key),
      ),
    ).to.equal(ok);
  });
});

describe('the (r, n − s) twin of a signature', () => {
  it('A16 holds, since it is the same token: only its jti and subject tell uses apart', async () => {
    expect(await outcome(malleableTwin(corpToken()), issuerWith(corpKey))).to.equal(ok);
  });
});

describe('a key that no signature should be trusted to', () => {
  const rsa = publicJwk(newKey('r', 'RS256'));
  const ec = publicJwk(newKey('e', 'ES256'));
  const flipped = Buffer.from(String(ec.y), 'base64url');
  flipped.writeUInt8(flipped.readUInt8(31) ^ 1, 31);
  const rows: readonly { name: string; jwk: object }[] = [
    { name: 'a point off the curve', jwk: { ...ec, y: base64url(flipped) } },
    {
      name: 'the point at infinity',
      jwk: { ...ec, x: base64url(Buffer.alloc(32)), y: base64url(Buffer.alloc(32)) },
    },
    { name: 'a point of another curve', jwk: { ...publicJwk(newKey('e', 'ES384')), crv: 'P-256' } },
    { name: 'the curve secp256k1', jwk: { ...ec, crv: 'secp256k1' } },
    { name: 'an RSA exponent of 1', jwk: { ...rsa, e: 'AQ' } },
    { name: 'an even RSA exponent', jwk: { ...rsa, e: 'BA' } },
    { name: 'an RSA modulus of 1024 bits', jwk: publicJwk(newKey('r', 'RS1024')) },
    { name: 'a shared secret', jwk: { kty: 'oct', k: base64url('secret') } },
    {
      name: 'an Ed25519 point of no order',
      jwk: { kty: 'OKP', crv: 'Ed25519', x: base64url(Buffer.alloc(31)) },
    },
    {
      name: 'a private key',
      jwk: createPrivateKey(newKey('p').privateKey.export({ type: 'pkcs8', format: 'pem' })).export(
        { format: 'jwk' },
      ),
    },
  ];
  for (const { name, jwk } of rows) {
    it(`is skipped with a warning: ${name}`, () => {
      const parsed = parseJwks(JSON.stringify({ keys: [jwk] }), ['ES256', 'RS256', 'EdDSA']);
      expect(parsed).to.have.nested.property('keySet.keys').that.deep.equals([]);
      expect(parsed).to.have.property('warnings').with.lengthOf(1);
    });
  }
});
