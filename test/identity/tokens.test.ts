import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [authenticated], paths: [/] }
`;
const now = () => Math.floor(Date.now() / 1000);
const part = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES256' };
const twin = { ...other.publicKey.export({ format: 'jwk' }), kid: 'k2' };
const weakJwk = { ...weak.publicKey.export({ format: 'jwk' }), kid: 'weak' };
const jwks = (...keys: object[]) => JSON.stringify({ keys });

const header = { alg: 'ES256', kid: 'k1', typ: 'at+jwt' };
const claims = () => ({
  iss: 'https://idp.example',
  aud: 'edge',
  sub: 'robot',
  iat: now(),
  exp: now() + 300,
});

/** A JWS of these very parts, signed by `key`; texts go in as they are. */
function jws(head: unknown, payload: unknown, key = privateKey): string {
  const input = `${part(head)}.${part(payload)}`;
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

/** The token with another signature. */
function resigned(token: string, change: (signature: Buffer) => Buffer): string {
  const [head, payload, signature = ''] = token.split('.');
  return `${head}.${payload}.${change(Buffer.from(signature, 'base64url')).toString('base64url')}`;
}

function hmac(): string {
  const input = `${part({ alg: 'HS256', kid: 'k1' })}.${part(claims())}`;
  const pem = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' })).export({
    type: 'spki',
    format: 'pem',
  });
  return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`;
}

const good = () => jws(header, claims());
const payload = () => JSON.stringify(claims());

const rows: readonly { name: string; token: () => string; want: string }[] = [
  { name: 'permits a good token', token: good, want: 'permit any' },
  {
    name: 'A1 alg none',
    token: () => `${part({ alg: 'none' })}.${part(claims())}.`,
    want: 'token_algorithm_refused',
  },
  {
    name: 'A2 alg nOnE',
    token: () => `${part({ alg: 'nOnE' })}.${part(claims())}.`,
    want: 'token_algorithm_refused',
  },
  { name: 'A3 HS256 with the public key as secret', token: hmac, want: 'token_algorithm_refused' },
  {
    name: 'A4 another algorithm than the issuer may use',
    token: () => jws({ ...header, alg: 'ES384' }, claims()),
    want: 'token_algorithm_refused',
  },
  {
    name: 'A7 a jku',
    token: () => jws({ ...header, jku: 'https://evil.example' }, claims()),
    want: 'credential_malformed',
  },
  {
    name: 'A7 an embedded key',
    token: () => jws({ ...header, jwk: twin }, claims(), other.privateKey),
    want: 'credential_malformed',
  },
  {
    name: 'A8 a key id that is a path',
    token: () => jws({ ...header, kid: '../../dev/null' }, claims()),
    want: 'token_key_unknown',
  },
  {
    name: 'A8 a key id that is a number',
    token: () => jws({ ...header, kid: 7 }, claims()),
    want: 'credential_malformed',
  },
  {
    name: 'A8 an empty key id',
    token: () => jws({ ...header, kid: '' }, claims()),
    want: 'credential_malformed',
  },
  {
    name: 'A11 no key id with two keys',
    token: () => jws({ alg: 'ES256', typ: 'at+jwt' }, claims()),
    want: 'token_key_unknown',
  },
  {
    name: 'A13 crit',
    token: () => jws({ ...header, crit: ['exp'] }, claims()),
    want: 'credential_malformed',
  },
  {
    name: 'A13 b64',
    token: () => jws({ ...header, b64: false }, claims()),
    want: 'credential_malformed',
  },
  { name: 'A14 five parts', token: () => `${good()}.x.y`, want: 'credential_malformed' },
  {
    name: 'A14 a nested JWT',
    token: () => jws({ ...header, cty: 'JWT' }, claims()),
    want: 'credential_malformed',
  },
  {
    name: 'A16 a non-canonical last character',
    token: () => nonCanonical(good()),
    want: 'credential_malformed',
  },
  { name: 'B13 padding', token: () => `${good()}==`, want: 'credential_malformed' },
  {
    name: 'A17 a claim given twice',
    token: () => jws(header, payload().replace('}', ',"sub":"admin"}')),
    want: 'credential_malformed',
  },
  {
    name: 'A17 a claim given twice by an escape',
    token: () => jws(header, payload().replace('}', ',"\\u0073ub":"admin"}')),
    want: 'credential_malformed',
  },
  {
    name: 'A17 a header member given twice',
    token: () => jws('{"alg":"ES256","kid":"k1","alg":"ES256"}', claims()),
    want: 'credential_malformed',
  },
  {
    name: 'A19 a token of 20 KiB',
    token: () => jws(header, { ...claims(), x: 'y'.repeat(20_000) }),
    want: 'credential_malformed',
  },
  {
    name: 'A19 a deep claim',
    token: () =>
      jws(header, payload().replace('}', `,"x":${'['.repeat(1000)}${']'.repeat(1000)}}`)),
    want: 'credential_malformed',
  },
  {
    name: 'A22 a payload that is no object',
    token: () => jws(header, '[]'),
    want: 'credential_malformed',
  },
  {
    name: 'A23 an all-zero signature',
    token: () => resigned(good(), (signature) => Buffer.alloc(signature.length)),
    want: 'token_signature_invalid',
  },
  {
    name: 'A23 a signature of 63 bytes',
    token: () => resigned(good(), (signature) => signature.subarray(1)),
    want: 'token_signature_invalid',
  },
  { name: 'A23 a DER signature', token: () => derSigned(), want: 'token_signature_invalid' },
  {
    name: 'a signature by another key',
    token: () => jws(header, claims(), other.privateKey),
    want: 'token_signature_invalid',
  },
  {
    name: 'B1 expired within the tolerance',
    token: () => jws(header, { ...claims(), exp: now() - 2 }),
    want: 'permit any',
  },
  {
    name: 'B2 expired beyond it',
    token: () => jws(header, { ...claims(), iat: now() - 60, exp: now() - 6 }),
    want: 'token_expired',
  },
  {
    name: 'an expiry that is missing',
    token: () => jws(header, { ...claims(), exp: undefined }),
    want: 'token_claim_invalid',
  },
  {
    name: 'an expiry of 1e999',
    token: () => jws(header, payload().replace(/"exp":\d+/, '"exp":1e999')),
    want: 'credential_malformed',
  },
  {
    name: 'B4 an iat in the future',
    token: () => jws(header, { ...claims(), iat: now() + 60 }),
    want: 'token_not_yet_valid',
  },
  {
    name: 'B5 an nbf in the future',
    token: () => jws(header, { ...claims(), nbf: now() + 60 }),
    want: 'token_not_yet_valid',
  },
  {
    name: 'a lifetime beyond the maximum',
    token: () => jws(header, { ...claims(), exp: now() + 7200 }),
    want: 'token_lifetime_exceeded',
  },
  {
    name: 'B8 another audience',
    token: () => jws(header, { ...claims(), aud: 'edge2' }),
    want: 'token_audience_mismatch',
  },
  {
    name: 'B8 no audience',
    token: () => jws(header, { ...claims(), aud: undefined }),
    want: 'token_audience_mismatch',
  },
  {
    name: 'B8 an empty list',
    token: () => jws(header, { ...claims(), aud: [] }),
    want: 'token_audience_mismatch',
  },
  {
    name: 'B8 a list with ours',
    token: () => jws(header, { ...claims(), aud: ['x', 'edge'] }),
    want: 'permit any',
  },
  {
    name: 'B8 a list with a number',
    token: () => jws(header, { ...claims(), aud: ['edge', 7] }),
    want: 'token_audience_mismatch',
  },
  {
    name: 'B8 another case',
    token: () => jws(header, { ...claims(), aud: 'Edge' }),
    want: 'token_audience_mismatch',
  },
  {
    name: 'B10 an issuer with a slash',
    token: () => jws(header, { ...claims(), iss: 'https://idp.example/' }),
    want: 'token_issuer_unknown',
  },
  {
    name: 'B10 an issuer that is a list',
    token: () => jws(header, { ...claims(), iss: ['https://idp.example'] }),
    want: 'token_issuer_unknown',
  },
  {
    name: 'B7 a subject that is a number',
    token: () => jws(header, { ...claims(), sub: 42 }),
    want: 'token_claim_invalid',
  },
  {
    name: 'an empty subject',
    token: () => jws(header, { ...claims(), sub: '' }),
    want: 'token_claim_invalid',
  },
  {
    name: 'B13 a DPoP proof',
    token: () => jws({ ...header, typ: 'dpop+jwt' }, claims()),
    want: 'token_type_refused',
  },
  {
    name: 'B13 a security event',
    token: () => jws({ ...header, typ: 'secevent+jwt' }, claims()),
    want: 'token_type_refused',
  },
  {
    name: 'B13 a WIT',
    token: () => jws({ ...header, typ: 'wit+jwt' }, claims()),
    want: 'token_type_refused',
  },
  {
    name: 'B13 a transaction token',
    token: () => jws({ ...header, typ: 'txntoken+jwt' }, claims()),
    want: 'token_type_refused',
  },
  {
    name: 'B13 an approval',
    token: () => jws({ ...header, typ: 'nhi-approval+jwt' }, claims()),
    want: 'token_type_refused',
  },
  {
    name: 'B13 an ID token',
    token: () => jws({ ...header, typ: 'JWT' }, { ...claims(), at_hash: 'x' }),
    want: 'token_type_refused',
  },
  {
    name: 'a type as a media type',
    token: () => jws({ ...header, typ: 'application/AT+JWT' }, claims()),
    want: 'permit any',
  },
  {
    name: 'a bound token without its certificate',
    token: () => jws(header, { ...claims(), cnf: { 'x5t#S256': 'x' } }),
    want: 'proof_missing',
  },
  {
    name: 'a token bound to a DPoP key, as a bearer (C7)',
    token: () => jws(header, { ...claims(), cnf: { jkt: 'x' } }),
    want: 'proof_missing',
  },
  {
    name: 'a binding that nobody knows',
    token: () => jws(header, { ...claims(), cnf: { x: 'y' } }),
    want: 'proof_invalid',
  },
  {
    name: 'a key of fewer than 2048 bits (B4)',
    token: () => jws({ ...header, kid: 'weak' }, claims()),
    want: 'token_key_unknown',
  },
];

function nonCanonical(token: string): string {
  const last = token.at(-1) ?? '';
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const twinOfLast = alphabet[alphabet.indexOf(last) ^ 1];
  return `${token.slice(0, -1)}${twinOfLast}`;
}

function derSigned(): string {
  const input = `${part(header)}.${part(claims())}`;
  return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`;
}

describe('a token (IDENTITY.md 6 A, B)', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy, {
      'countersign.yaml': patient,
      'keys/corp.jwks.json': jwks(jwk, twin, weakJwk),
    });
  });
  after(() => world.close());
  const ask = async (authorization: string) => {
    const outcome = await world.ask({ headers: { authorization } });
    return outcome.effect === 'permit' ? said(outcome) : outcome.code;
  };

  for (const { name, token, want } of rows) {
    it(`${name}: ${want}`, async () => {
      expect(await ask(`Bearer ${token()}`)).to.equal(want);
    });
  }

  const schemes: readonly [string, string][] = [
    ['bearer', 'permit any'],
    ['BEARER ', 'permit any'],
    ['DPoP', 'proof_invalid'],
    ['Basic', 'credential_missing'],
  ];
  for (const [scheme, want] of schemes) {
    it(`reads the scheme "${scheme}" (C2, C4): ${want}`, async () => {
      expect(await ask(`${scheme} ${good()}`)).to.equal(want);
    });
  }
  it('refuses a tab, no token and two tokens (C1, C2)', async () => {
    expect(await ask(`Bearer\t${good()}`)).to.equal('credential_malformed');
    expect(await ask('Bearer')).to.equal('credential_malformed');
    expect(await ask(`Bearer ${good()},Bearer ${good()}`)).to.equal('credential_ambiguous');
    const lines = [
      ['authorization', `Bearer ${good()}`],
      ['authorization', 'Basic x'],
    ] as const;
    expect((await world.ask({ lines })).code).to.equal('credential_ambiguous');
  });

  it('accepts a verified token from its cache, and checks its time and revocation again', async () => {
    const token = jws(header, { ...claims(), jti: 'j-1' });
    expect(await ask(`Bearer ${token}`)).to.equal('permit any');
    expect(await ask(`Bearer ${token}`)).to.equal('permit any');
    world.ahead = 400_000;
    expect(await ask(`Bearer ${token}`)).to.equal('token_expired');
    world.ahead = 0;
    expect(await ask(`Bearer ${token}`)).to.equal('permit any');
    world.write('data/revocations.yaml', 'version: 1\ntokens: [{ issuer: corp, jti: j-1 }]\n');
    await world.loader.load();
    expect(await ask(`Bearer ${token}`)).to.equal('revoked');
    world.write('data/revocations.yaml', 'version: 1\nkeys: [{ issuer: corp, kid: k1 }]\n');
    await world.loader.load();
    expect(await ask(`Bearer ${token}`)).to.equal('revoked');
    world.write('data/revocations.yaml', 'version: 1\n');
    await world.loader.load();
    expect(await ask(`Bearer ${token}`)).to.equal('permit any');
  });

  it('drops what it verified when the key goes (B16), and takes a new key at once (B17)', async () => {
    const token = good();
    expect(await ask(`Bearer ${token}`)).to.equal('permit any');
    world.write('keys/corp.jwks.json', jwks(twin));
    await world.loader.load();
    expect(await ask(`Bearer ${token}`)).to.equal('token_key_unknown');
    world.write('keys/corp.jwks.json', '<html>');
    await world.loader.load();
    expect(
      await ask(`Bearer ${jws({ ...header, kid: 'k2' }, claims(), other.privateKey)}`),
    ).to.equal('permit any');
    world.write('keys/corp.jwks.json', '{"keys":[]}');
    await world.loader.load();
    expect(await ask(`Bearer ${token}`)).to.equal('token_key_unknown');
    world.write('keys/corp.jwks.json', jwks(jwk, { ...twin, kid: 'k1' }));
    await world.loader.load();
    expect(await ask(`Bearer ${token}`), 'A10 two keys of one id').to.equal('token_key_unknown');
    world.write('keys/corp.jwks.json', jwks(jwk));
    await world.loader.load();
    expect(await ask(`Bearer ${token}`)).to.equal('permit any');
  });

  it('accepts no token with any one character changed', async () => {
    const token = good();
    for (let at = 0; at < token.length; at += 3) {
      const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
      expect(await ask(`Bearer ${changed}`), `at ${at}`).to.not.match(/^permit/);
    }
  });
});
