import { createHash, randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { after, before, describe, it } from 'mocha';
import { type Authority, createAuthority } from '../../examples/quickstart/pki.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [authenticated], paths: [/] }
  - { id: tilde, effect: permit, principals: [authenticated], paths: [/~u] }
  - { id: dpop, effect: permit, principals: [authenticated], paths: [/dpop], require: { proof: dpop } }
  - { id: mtls, effect: permit, principals: [authenticated], paths: [/mtls], require: { proof: mtls-bound } }
`;
const now = () => Math.floor(Date.now() / 1000);
const sha = (text: string | Buffer) => createHash('sha256').update(text).digest('base64url');

describe('a DPoP-bound token (RFC 9449)', () => {
  let world: World;
  let jwk: JWK;
  let key: Parameters<SignJWT['sign']>[0];
  let token: string;
  before(async () => {
    world = await createWorld(policy, {
      'countersign.yaml': patient.replace(
        'policies:',
        '  dpop: { origins: [https://api.example] }\npolicies:',
      ),
    });
    const pair = await generateKeyPair('ES256', { extractable: true });
    key = pair.privateKey;
    jwk = await exportJWK(pair.publicKey);
    const jkt = await calculateJwkThumbprint(jwk);
    token = await world.corp.sign({ sub: 'robot', cnf: { jkt } });
  });
  after(() => world.close());

  const prove = (claims: object = {}, header: object = {}, by = key) =>
    new SignJWT({
      jti: randomUUID(),
      htm: 'GET',
      htu: 'https://api.example/',
      iat: now(),
      ath: sha(token),
      ...claims,
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk, ...header })
      .sign(by);
  const ask = async (dpop: string, path = '/', scheme = 'DPoP') => {
    const headers = { authorization: `${scheme} ${token}`, dpop };
    return said(await world.ask({ headers, path })).replace(/^deny \d+ /, '');
  };

  const rows: readonly { name: string; proof: () => Promise<string>; want: string }[] = [
    { name: 'a good proof', proof: () => prove(), want: 'permit any' },
    {
      name: 'htu in another spelling of the same URI',
      proof: () => prove({ htu: 'HTTPS://API.example:443/' }),
      want: 'permit any',
    },
    { name: 'another method', proof: () => prove({ htm: 'POST' }), want: 'proof_invalid' },
    {
      name: 'another host',
      proof: () => prove({ htu: 'https://evil.example/' }),
      want: 'proof_invalid',
    },
    {
      name: 'another path',
      proof: () => prove({ htu: 'https://api.example/x' }),
      want: 'proof_invalid',
    },
    {
      name: 'a query in htu',
      proof: () => prove({ htu: 'https://api.example/?x' }),
      want: 'proof_invalid',
    },
    {
      name: 'the hash of another token',
      proof: () => prove({ ath: sha('x') }),
      want: 'proof_invalid',
    },
    { name: 'no hash of the token', proof: () => prove({ ath: undefined }), want: 'proof_invalid' },
    { name: 'an old proof', proof: () => prove({ iat: now() - 120 }), want: 'proof_invalid' },
    {
      name: 'a proof of the future',
      proof: () => prove({ iat: now() + 60 }),
      want: 'proof_invalid',
    },
    { name: 'no jti', proof: () => prove({ jti: undefined }), want: 'proof_invalid' },
    { name: 'another type', proof: () => prove({}, { typ: 'jwt' }), want: 'proof_invalid' },
    {
      name: 'a private key in the header',
      proof: () => prove({}, { jwk: { ...jwk, d: 'AA' } }),
      want: 'proof_invalid',
    },
    { name: 'what is no proof', proof: async () => 'a.b.c', want: 'proof_invalid' },
    {
      name: 'htu without a path',
      proof: () => prove({ htu: 'https://api.example' }),
      want: 'permit any',
    },
    {
      name: 'the type as a media type',
      proof: () => prove({}, { typ: 'application/dpop+jwt' }),
      want: 'permit any',
    },
    ...[
      ...['http://api.example/', 'https://api.example:8443/', 'https://api.example./', '/'],
      ...['https://u@api.example/', 'https://api.example/#f', 'https://api.example//'],
      ...['https://api.example/x/..', 'https://api.example/%2e', 'https://api.example\\/', ''],
    ].map((htu) => ({
      name: `htu "${htu}"`,
      proof: () => prove({ htu }),
      want: 'proof_invalid',
    })),
    {
      name: 'htu as a list',
      proof: () => prove({ htu: ['https://api.example/'] }),
      want: 'proof_invalid',
    },
    { name: 'the method in lower case', proof: () => prove({ htm: 'get' }), want: 'proof_invalid' },
    { name: 'a number as jti', proof: () => prove({ jti: 1 }), want: 'proof_invalid' },
    { name: 'an empty jti', proof: () => prove({ jti: '' }), want: 'proof_invalid' },
    { name: 'no iat', proof: () => prove({ iat: undefined }), want: 'proof_invalid' },
    { name: 'an iat as a text', proof: () => prove({ iat: String(now()) }), want: 'proof_invalid' },
    { name: 'ath as a list', proof: () => prove({ ath: [sha(token)] }), want: 'proof_invalid' },
    {
      name: 'no key',
      proof: () => prove({}, { jwk: undefined }),
      want: 'proof_invalid',
    },
    {
      name: 'a shared secret as key',
      proof: () => prove({}, { jwk: { kty: 'oct', k: 'AAAA' } }),
      want: 'proof_invalid',
    },
    {
      name: 'its key by reference',
      proof: () => prove({}, { jku: 'https://evil.example/' }),
      want: 'proof_invalid',
    },
    {
      name: 'a point off the curve',
      proof: () => prove({}, { jwk: { ...jwk, y: jwk.x } }),
      want: 'proof_invalid',
    },
    {
      name: 'alg none',
      proof: async () => {
        const [, payload] = (await prove()).split('.');
        const none = JSON.stringify({ alg: 'none', typ: 'dpop+jwt', jwk });
        return `${Buffer.from(none).toString('base64url')}.${payload}.`;
      },
      want: 'proof_invalid',
    },
    {
      name: 'two proofs, joined',
      proof: async () => `${await prove()},${await prove()}`,
      want: 'proof_invalid',
    },
    {
      name: 'another spelling of its end',
      proof: async () => `${await prove()}=`,
      want: 'proof_invalid',
    },
    { name: 'the token itself as proof', proof: async () => token, want: 'proof_invalid' },
  ];
  for (const { name, proof, want } of rows) {
    it(`${name} (C7): ${want}`, async () => {
      expect(await ask(await proof())).to.equal(want);
    });
  }

  it('by another key is refused, whatever it says', async () => {
    const pair = await generateKeyPair('ES256', { extractable: true });
    const other = await exportJWK(pair.publicKey);
    expect(await ask(await prove({}, { jwk: other }, pair.privateKey))).to.equal('proof_invalid');
    expect(await ask(await prove({}, {}, pair.privateKey))).to.equal('proof_invalid');
  });

  it('is for one request: used again it is a replay, in the same bytes it is not', async () => {
    const proof = await prove();
    const headers = { authorization: `DPoP ${token}`, dpop: proof };
    expect(said(await world.ask({ id: '1', headers }))).to.equal('permit any');
    expect(said(await world.ask({ id: '1', headers }))).to.equal('permit any');
    expect((await world.ask({ id: '2', headers })).code).to.equal('token_replayed');
  });

  it('is refused as a bearer and without a proof, whether or not a rule asks', async () => {
    expect(await ask(await prove(), '/', 'Bearer')).to.equal('proof_missing');
    expect((await world.ask({ headers: { authorization: `DPoP ${token}` } })).code).to.equal(
      'proof_missing',
    );
    const lines = [
      ['authorization', `DPoP ${token}`],
      ['dpop', await prove()],
      ['dpop', await prove()],
    ] as const;
    expect((await world.ask({ lines })).code).to.equal('proof_invalid');
  });

  it('compares htu and path after normalization of what needs no encoding (RFC 3986 §6.2.2)', async () => {
    for (const htu of [
      'https://api.example/~u',
      'https://api.example/%7eu',
      'https://api.example/%7Eu',
    ]) {
      expect(await ask(await prove({ htu }), '/~u'), htu).to.equal('permit tilde');
      expect(await ask(await prove({ htu }), '/%7Eu'), htu).to.equal('permit tilde');
    }
    expect(await ask(await prove({ htu: 'https://api.example/~U' }), '/~u')).to.equal(
      'proof_invalid',
    );
  });

  it('is what `require.proof: dpop` asks for', async () => {
    expect(await ask(await prove({ htu: 'https://api.example/dpop' }), '/dpop')).to.equal(
      'permit dpop',
    );
    expect(await ask(await prove({ htu: 'https://api.example/mtls' }), '/mtls')).to.equal(
      'proof_missing mtls',
    );
    const plain = await world.corp.sign({ sub: 'robot' });
    const headers = { authorization: `Bearer ${plain}` };
    expect(said(await world.ask({ headers, path: '/dpop' }))).to.equal(
      'deny 401 proof_missing dpop',
    );
  });

  it('is asked for a nonce where one is required, and told which', async () => {
    const strict = await createWorld(policy, {
      'countersign.yaml': patient.replace(
        'policies:',
        '  dpop: { origins: [https://api.example], nonce: required }\npolicies:',
      ),
      'keys/corp.jwks.json': JSON.stringify(world.corp.jwks),
    });
    const askWith = async (nonce?: string) =>
      strict.ask({ headers: { authorization: `DPoP ${token}`, dpop: await prove({ nonce }) } });
    const first = await askWith();
    expect([first.code, first.headers['www-authenticate']]).to.deep.equal([
      'proof_invalid',
      'DPoP error="use_dpop_nonce"',
    ]);
    const nonce = first.headers['dpop-nonce'];
    expect(nonce).to.be.a('string');
    expect(said(await askWith(nonce))).to.equal('permit any');
    expect((await askWith('x')).code).to.equal('proof_invalid');
    strict.close();
  });
});

describe('a certificate-bound token (RFC 8705)', () => {
  let world: World;
  let authority: Authority;
  const id = 'spiffe://prod.example/ns/a/sa/one';
  before(async () => {
    authority = await createAuthority('prod.example');
    world = await createWorld(policy, { 'countersign.yaml': patient });
  });
  after(() => world.close());

  it('is accepted with its certificate, and with no other', async () => {
    const own = await authority.issue({ uris: [id] });
    const other = await authority.issue({ uris: [id] });
    const token = await world.corp.sign({
      sub: 'robot',
      cnf: { 'x5t#S256': sha(Buffer.from(own.certificate.rawData)) },
    });
    const ask = async (pem: string | undefined, path = '/mtls') => {
      const certificate = pem === undefined ? '' : encodeURIComponent(pem);
      const principal = pem === undefined ? '' : id;
      return said(
        await world.ask({
          path,
          principal,
          certificate,
          headers: { authorization: `Bearer ${token}` },
        }),
      );
    };
    expect(await ask(own.certificatePem)).to.equal('permit mtls');
    expect(await ask(own.certificatePem, '/dpop')).to.equal('deny 401 proof_missing dpop');
    expect(await ask(other.certificatePem)).to.equal('deny 401 proof_invalid');
    expect(await ask(undefined)).to.equal('deny 401 proof_missing');
  });

  it('is accepted with a certificate that has no SPIFFE id, and with the hash that another proxy forwards', async () => {
    const { certificate: x509, certificatePem } = await authority.issue({ dns: ['a.example'] });
    const der = Buffer.from(x509.rawData);
    const token = await world.corp.sign({ sub: 'robot', cnf: { 'x5t#S256': sha(der) } });
    const authorization = `Bearer ${token}`;
    const certificate = encodeURIComponent(certificatePem);
    const given = {
      path: '/mtls',
      principal: 'a.example',
      certificate,
      headers: { authorization },
    };
    expect(said(await world.ask(given))).to.equal('permit mtls');
    const forwarding = await createWorld(policy, {
      'countersign.yaml': patient.replace(
        'prod.example] }',
        'prod.example], peer: { xfcc: last } }',
      ),
      'keys/corp.jwks.json': JSON.stringify(world.corp.jwks),
    });
    const askBehind = async (hash: string) => {
      const xfcc = `By=spiffe://prod.example/x;Hash=${hash};Subject="";URI=${id}`;
      const headers = { authorization, 'x-forwarded-client-cert': xfcc };
      return said(await forwarding.ask({ path: '/mtls', headers }));
    };
    const hex = createHash('sha256').update(der).digest('hex');
    expect(await askBehind(hex)).to.equal('permit mtls');
    expect(await askBehind(hex.replace(/^./, (digit) => (digit === '0' ? '1' : '0')))).to.equal(
      'deny 401 proof_invalid',
    );
    forwarding.close();
  });
});
