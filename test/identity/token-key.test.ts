import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import {
  bearer,
  changingKeys,
  context,
  corpKey,
  corpToken,
  identifierOf,
  issuerOf,
  newKey,
  otherKey,
  signBytes,
  verificationKey,
} from './fixtures.js';
import { ok, outcome, unsigned, withSignature } from './token-table.js';

const rsaKey = newKey('rsa-1', 'RS256');
const edKey = newKey('ed-1', 'EdDSA');
const weakKey = newKey('weak-1', 'RS1024');

describe('a token, by its key', () => {
  const keysOf = (...keys: Parameters<typeof changingKeys>) => [
    issuerOf({ keys: changingKeys(...keys) }),
  ];
  const two = () => keysOf([verificationKey(corpKey), verificationKey(otherKey)]);
  const same = () =>
    keysOf([verificationKey(corpKey), verificationKey(otherKey, { kid: 'corp-1' })]);
  const rsaIssuer = (key = rsaKey, alg?: string) => [
    issuerOf({
      rules: { algorithms: ['RS256', 'PS256', 'EdDSA'] },
      keys: changingKeys([verificationKey(key, { alg })]),
    }),
  ];
  const rows = [
    {
      name: 'A10 two keys of one kid',
      given: corpToken(),
      issuers: same,
      want: 'token_key_unknown',
    },
    {
      name: 'A11 no kid and two keys',
      given: corpToken({}, { kid: undefined }),
      issuers: two,
      want: 'token_key_unknown',
    },
    { name: 'the second of two keys', given: corpToken({}, {}, otherKey), issuers: two, want: ok },
    {
      name: 'a set without a key',
      given: corpToken(),
      issuers: () => keysOf([]),
      want: 'token_key_unknown',
    },
    {
      name: 'keys that are away',
      given: corpToken(),
      issuers: () => keysOf(new Refusal('keys_unavailable', 'x')),
      want: 'keys_unavailable',
    },
    { name: 'E 54 RS256', given: corpToken({}, {}, rsaKey), issuers: () => rsaIssuer(), want: ok },
    {
      name: 'E 54 PS256',
      given: corpToken({}, {}, { ...rsaKey, alg: 'PS256' }),
      issuers: () => rsaIssuer(),
      want: ok,
    },
    {
      name: 'E 54 EdDSA',
      given: corpToken({}, {}, edKey),
      issuers: () => rsaIssuer(edKey),
      want: ok,
    },
    {
      name: 'a key that names another algorithm',
      given: corpToken({}, {}, { ...rsaKey, alg: 'PS256' }),
      issuers: () => rsaIssuer(rsaKey, 'RS256'),
      want: 'token_algorithm_refused',
    },
    {
      name: 'an algorithm of another kind of key',
      given: corpToken({}, { alg: 'RS256', kid: 'ed-1' }, rsaKey),
      issuers: () => rsaIssuer(edKey),
      want: 'token_signature_invalid',
    },
    {
      name: 'RSA of 1024 bits',
      given: corpToken({}, {}, weakKey),
      issuers: () => rsaIssuer(weakKey),
      want: 'token_signature_invalid',
    },
    {
      name: 'another key under the same kid',
      given: corpToken({}, {}, { ...otherKey, kid: 'corp-1' }),
      issuers: () => [issuerOf()],
      want: 'token_signature_invalid',
    },
    {
      name: 'A23 an all-zero signature',
      given: withSignature(Buffer.alloc(64)),
      issuers: () => [issuerOf()],
      want: 'token_signature_invalid',
    },
    {
      name: 'A23 63 bytes',
      given: withSignature(signBytes('x', corpKey).subarray(1)),
      issuers: () => [issuerOf()],
      want: 'token_signature_invalid',
    },
    {
      name: 'A23 a DER signature',
      given: withSignature(Buffer.concat([Buffer.from([0x30, 0x44]), Buffer.alloc(68, 2)])),
      issuers: () => [issuerOf()],
      want: 'token_signature_invalid',
    },
    {
      name: 'an empty signature',
      given: unsigned({}),
      issuers: () => [issuerOf()],
      want: 'token_signature_invalid',
    },
  ];
  for (const { name, given, issuers, want } of rows) {
    it(`answers ${name} with ${want}`, async () => {
      expect(await outcome(given, issuers())).to.equal(want);
    });
  }

  it('B11 answers issuer A by a key of issuer B with token_key_unknown', async () => {
    const other = issuerOf({
      name: 'other',
      rules: { issuer: 'https://other.example' },
      keys: changingKeys([verificationKey(otherKey)]),
    });
    const token = corpToken({}, {}, otherKey);
    expect(await outcome(token, [issuerOf(), other])).to.equal('token_key_unknown');
  });

  it('names the key that verified it, also where the token does not', async () => {
    const caller = await identifierOf().identify(
      bearer(corpToken({}, { kid: undefined })),
      context(),
    );
    expect(caller).to.have.nested.property('token.keyId', 'corp-1');
  });

  it('tells the source of a key id that it lacks', async () => {
    const keys = changingKeys([verificationKey(corpKey)]);
    await outcome(corpToken({}, { kid: 'new' }), [issuerOf({ keys })]);
    expect(keys.asked).to.deep.equal(['new']);
  });
});
