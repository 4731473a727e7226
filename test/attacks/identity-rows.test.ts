import { createServer, type Server } from 'node:http';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import {
  base64url,
  malleableTwin,
  newKey,
  publicJwk,
  type SigningKey,
  signRaw,
} from '../identity/fixtures.js';
import type { Given } from '../support/check-request.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const bot = 'spiffe://prod.example/ns/a/sa/bot';
const policy = `version: 1
policy: identity
principals:
  bot: { spiffe: "${bot}" }
  bot-by-mtls: { spiffe: "${bot}", via: mtls }
  bot-by-svid: { spiffe: "${bot}", via: jwt-svid }
  agent: { jwt: { issuer: corp, subject: agent-7 } }
  client: { jwt: { issuer: corp, subject: agent-7, claims: { client_id: billing } } }
  exchanged: { jwt: { issuer: corp, subject: agent-7, claims: { azp: billing } } }
  named-like-a-domain: { jwt: { issuer: prod.example, subject: "*" } }
rules:
  - { id: any, effect: permit, principals: [authenticated], paths: [/] }
  - { id: bot, effect: permit, principals: [bot], paths: [/bot] }
  - { id: mtls, effect: permit, principals: [bot-by-mtls], paths: [/mtls] }
  - { id: svid, effect: permit, principals: [bot-by-svid], paths: [/svid] }
  - { id: agent, effect: permit, principals: [agent], paths: [/agent] }
  - { id: client, effect: permit, principals: [client], paths: [/client] }
  - { id: exchanged, effect: permit, principals: [exchanged], paths: [/exchanged] }
  - { id: like, effect: permit, principals: [named-like-a-domain], paths: [/like] }
  - { id: to-string, effect: permit, principals: [authenticated], paths: [/to-string], when: has(token.claims.toString) }
  - { id: constructor, effect: permit, principals: [authenticated], paths: [/constructor], when: token.claims.constructor != null }
  - { id: proto, effect: permit, principals: [authenticated], paths: [/proto], when: has(token.claims.__proto__) && token.claims.__proto__.admin }
  - { id: inherited, effect: permit, principals: [authenticated], paths: [/inherited], when: has(token.claims.admin) }
`;

const corp = newKey('corp-1');
const named = newKey('named-1');
const prod = newKey('svid-1');
const partner = newKey('svid-2');
const seconds = () => Math.floor(Date.now() / 1000);

const settings = patient
  .replace(
    'spiffe: { trustDomains: [prod.example] }',
    'spiffe: { trustDomains: [prod.example, partner.example], jwtSvid: { audiences: [edge], bundles: { prod.example: keys/prod.json, partner.example: keys/partner.json } } }',
  )
  .replace(
    '  approvals:',
    `    - { name: prod.example, issuer: "https://named.example", audiences: [edge], algorithms: [ES256], jwks: { file: keys/named.json }, header: x-named-token }
    - { name: other, issuer: "https://other.example", audiences: [edge], algorithms: [ES256], jwks: { file: keys/corp.jwks.json }, header: x-other-token }
  approvals:`,
  );
const jwks = (keys: readonly SigningKey[], use: string) =>
  JSON.stringify({ keys: keys.map((key) => ({ ...publicJwk(key), kid: key.kid, use })) });

const good = () => ({
  iss: 'https://idp.example',
  aud: 'edge',
  sub: 'agent-7',
  iat: seconds(),
  exp: seconds() + 300,
  jti: 'j-1',
});
const token = (changes: object = {}, header: object = {}, key = corp) =>
  signRaw({ alg: 'ES256', kid: key.kid, typ: 'JWT', ...header }, { ...good(), ...changes }, key);
const svid = (changes: object = {}, key = prod) =>
  signRaw(
    { alg: 'ES256', kid: key.kid, typ: 'JWT' },
    { sub: bot, aud: 'edge', exp: seconds() + 300, ...changes },
    key,
  );
const bearer = (value: string, path = '/', more: Given = {}): Given => ({
  path,
  headers: { authorization: `Bearer ${value}` },
  ...more,
});
const lines = (...given: (readonly [string, string])[]): Given => ({ path: '/', lines: given });

interface Row {
  readonly name: string;
  readonly given: () => Given;
  readonly want: string;
}
const ambiguous = 'deny 401 credential_ambiguous';
const malformed = 'deny 401 credential_malformed';
const wrongCaller = (rule: string) => `deny 403 principal_not_allowed ${rule}`;

const rows: readonly Row[] = [
  { name: 'a good token', given: () => bearer(token()), want: 'permit any' },
  { name: 'a good JWT-SVID', given: () => bearer(svid(), '/bot'), want: 'permit bot' },
  {
    name: 'C1 one token in two lines of different case',
    given: () =>
      lines(['authorization', `Bearer ${token()}`], ['Authorization', `Bearer ${token()}`]),
    want: ambiguous,
  },
  {
    name: 'C1 a token and an empty line',
    given: () => lines(['authorization', `Bearer ${token()}`], ['authorization', '']),
    want: ambiguous,
  },
  {
    name: 'C1 a token behind another scheme, joined',
    given: () => ({ path: '/', headers: { authorization: `Basic dTpw, Bearer ${token()}` } }),
    want: ambiguous,
  },
  {
    name: 'C1 a token behind a Digest, joined',
    given: () => ({ path: '/', headers: { authorization: `Digest a="b", Bearer ${token()}` } }),
    want: ambiguous,
  },
  {
    name: 'C1 a token that looks like a parameter of a Digest',
    given: () => ({ path: '/', headers: { authorization: `Digest a="b", bearer=${token()}` } }),
    want: ambiguous,
  },
  {
    name: 'C1 tokens of two issuers in their two headers',
    given: () =>
      bearer(token(), '/', {
        headers: { authorization: `Bearer ${token()}`, 'x-other-token': token() },
      }),
    want: ambiguous,
  },
  {
    name: 'a token in the header of another issuer',
    given: () => ({ path: '/', headers: { 'x-other-token': token() } }),
    want: 'deny 401 token_issuer_unknown',
  },
  {
    name: 'a JWT-SVID in the header of an issuer',
    given: () => ({ path: '/', headers: { 'x-other-token': svid() } }),
    want: 'deny 401 token_issuer_unknown',
  },
  {
    name: 'a token whose issuer has another header',
    given: () => bearer(token({ iss: 'https://other.example' })),
    want: 'deny 401 token_issuer_unknown',
  },
  {
    name: 'an issuer with the keys of another, in its own header',
    given: () => ({
      path: '/',
      headers: { 'x-named-token': token({ iss: 'https://named.example' }) },
    }),
    want: 'deny 401 token_key_unknown',
  },
  {
    name: 'a token of an issuer whose sub is a SPIFFE id',
    given: () => bearer(token({ sub: bot }), '/bot'),
    want: wrongCaller('bot'),
  },
  {
    name: 'a JWT-SVID whose trust domain is spelt like an issuer',
    given: () => bearer(svid(), '/like'),
    want: wrongCaller('like'),
  },
  {
    name: 'a JWT-SVID at a rule for mTLS',
    given: () => bearer(svid(), '/mtls'),
    want: wrongCaller('mtls'),
  },
  {
    name: 'a JWT-SVID at a rule for it',
    given: () => bearer(svid(), '/svid'),
    want: 'permit svid',
  },
  {
    name: 'a peer at a rule for JWT-SVIDs',
    given: () => ({ path: '/svid', principal: bot }),
    want: wrongCaller('svid'),
  },
  {
    name: 'C16 a JWT-SVID by the key of another trust domain',
    given: () => bearer(svid({}, { ...partner, kid: prod.kid })),
    want: 'deny 401 token_signature_invalid',
  },
  {
    name: 'C16 a JWT-SVID with the key id of another trust domain',
    given: () => bearer(svid({}, partner)),
    want: 'deny 401 token_key_unknown',
  },
  {
    name: 'C16 a JWT-SVID of the partner, at a rule for the own trust domain',
    given: () => bearer(svid({ sub: 'spiffe://partner.example/ns/a/sa/bot' }, partner), '/bot'),
    want: wrongCaller('bot'),
  },
  {
    name: 'a bad token beside a good peer',
    given: () => bearer(token({ exp: 1 }), '/mtls', { principal: bot }),
    want: 'deny 401 token_expired',
  },
  {
    name: 'a token bound in two ways',
    given: () => bearer(token({ cnf: { jkt: 'x', 'x5t#S256': 'x' } })),
    want: 'deny 401 proof_invalid',
  },
  {
    name: 'a token bound to nothing',
    given: () => bearer(token({ cnf: {} })),
    want: 'deny 401 proof_invalid',
  },
  {
    name: 'a token bound to null',
    given: () => bearer(token({ cnf: null })),
    want: 'deny 401 proof_invalid',
  },
  {
    name: 'a token bound to a text',
    given: () => bearer(token({ cnf: 'jkt' })),
    want: 'deny 401 proof_invalid',
  },
  {
    name: 'a token bound to a key in itself',
    given: () => bearer(token({ cnf: { jwk: publicJwk(corp) } })),
    want: 'deny 401 proof_invalid',
  },
  {
    name: 'a JWT-SVID that is bound',
    given: () => bearer(svid({ cnf: { 'x5t#S256': 'x' } })),
    want: 'deny 401 proof_missing',
  },
  {
    name: 'A17 a binding spelt with an escape, and none',
    given: () =>
      bearer(
        signRaw(
          { alg: 'ES256', kid: corp.kid },
          JSON.stringify({ ...good(), cnf: { jkt: 'x' } }).replace('{', '{"cn\\u0066":null,'),
          corp,
        ),
      ),
    want: malformed,
  },
  {
    name: 'A17 a binding whose name has an escape',
    given: () =>
      bearer(
        signRaw(
          { alg: 'ES256', kid: corp.kid },
          JSON.stringify({ ...good(), cnf: { jkt: 'x' } }).replace('"cnf"', '"cn\\u0066"'),
          corp,
        ),
      ),
    want: 'deny 401 proof_missing',
  },
  {
    name: 'A20 has(claims.toString)',
    given: () => bearer(token(), '/to-string'),
    want: 'deny 403 condition_false to-string',
  },
  {
    name: 'A20 claims.constructor',
    given: () => bearer(token(), '/constructor'),
    want: 'deny 403 condition_false constructor',
  },
  {
    name: 'A20 a claim __proto__ that would be inherited',
    given: () =>
      bearer(
        signRaw(
          { alg: 'ES256', kid: corp.kid },
          JSON.stringify(good()).replace('{', '{"__proto__":{"admin":true},'),
          corp,
        ),
        '/inherited',
      ),
    want: 'deny 403 condition_false inherited',
  },
  {
    name: 'the client that a token names',
    given: () => bearer(token({ client_id: 'billing' }), '/client'),
    want: 'permit client',
  },
  {
    name: 'another client with a token of the same subject',
    given: () => bearer(token({ client_id: 'reports' }), '/client'),
    want: wrongCaller('client'),
  },
  {
    name: 'a token that names no client',
    given: () => bearer(token(), '/client'),
    want: wrongCaller('client'),
  },
  {
    name: 'the party that exchanged a token',
    given: () => bearer(token({ azp: 'billing' }), '/exchanged'),
    want: 'permit exchanged',
  },
  {
    name: 'another party with a token of the same subject',
    given: () => bearer(token({ azp: ['billing2'] }), '/exchanged'),
    want: wrongCaller('exchanged'),
  },
  {
    name: 'a host whose lower case is another host',
    given: () => bearer(token(), '/', { host: 'api.\u212A.example' }),
    want: 'deny 400 request_malformed',
  },
];

describe('identities under attack (IDENTITY.md 6 A–C)', () => {
  let world: World;
  let server: Server;
  let address = '';
  let connections = 0;
  before(async () => {
    world = await createWorld(policy, {
      'countersign.yaml': settings,
      'keys/corp.jwks.json': jwks([corp], 'sig'),
      'keys/named.json': jwks([named], 'sig'),
      'keys/prod.json': jwks([prod], 'jwt-svid'),
      'keys/partner.json': jwks([partner], 'jwt-svid'),
    });
    expect(world.loader.findings()).to.deep.equal([]);
    server = createServer((_, response) => response.end('{"keys":[]}'));
    server.on('connection', () => {
      connections += 1;
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = server.address();
    address = `http://127.0.0.1:${typeof at === 'object' ? at?.port : 0}/`;
  });
  after(() => {
    world.close();
    server.close();
  });
  const ask = async (given: Given) => said(await world.ask(given));

  for (const { name, given, want } of rows) {
    it(`${name}: ${want}`, async () => expect(await ask(given())).to.equal(want));
  }

  it('A7, A8 a token that points at a server causes no connection', async () => {
    for (const header of [
      { jku: address },
      { x5u: address },
      { kid: address },
      { jwk: { kty: 'EC', x5u: address } },
    ]) {
      expect(await ask(bearer(token({}, header)))).to.match(
        /credential_malformed|token_key_unknown/,
      );
    }
    expect(await ask(bearer(token({ iss: address })))).to.equal('deny 401 token_issuer_unknown');
    // A connection of the test's own, so that the count is known to work.
    await fetch(address);
    expect(connections).to.equal(1);
  });

  it('a JWT-SVID is revoked under the name of its trust domain: by jti, by key, by id', async () => {
    const given = () => bearer(svid({ jti: 'svid-jti' }), '/bot');
    for (const line of [
      'tokens: [{ issuer: prod.example, jti: svid-jti }]',
      'keys: [{ issuer: prod.example, kid: svid-1 }]',
      `identities: ["${bot}"]`,
    ]) {
      expect(await ask(given())).to.equal('permit bot');
      world.write('data/revocations.yaml', `version: 1\n${line}\n`);
      await world.loader.load();
      expect(await ask(given()), line).to.equal('deny 403 revoked');
      world.write('data/revocations.yaml', 'version: 1\n');
      await world.loader.load();
    }
  });

  it('A16 no other spelling of a revoked token is accepted', async () => {
    const revoked = token({ jti: 'gone' });
    expect(await ask(bearer(revoked))).to.equal('permit any');
    world.write('data/revocations.yaml', 'version: 1\ntokens: [{ issuer: corp, jti: gone }]\n');
    await world.loader.load();
    const [head = '', payload = '', signature = ''] = revoked.split('.');
    const respelled = `${signature.slice(0, -1)}${signature.endsWith('A') ? 'B' : 'A'}`;
    const spellings = [
      revoked,
      malleableTwin(revoked),
      `${revoked}=`,
      `${revoked}\n`,
      `${head}.${payload}.${respelled}`,
      `${head}.${base64url(` ${Buffer.from(payload, 'base64url').toString()}`)}.${signature}`,
    ];
    const answers = await Promise.all(
      spellings.map(async (spelling) => (await world.ask(bearer(spelling))).effect),
    );
    expect(answers).to.deep.equal(Array(spellings.length).fill('deny'));
    expect(await ask(bearer(malleableTwin(revoked)))).to.equal('deny 403 revoked');
    world.write('data/revocations.yaml', 'version: 1\n');
    await world.loader.load();
  });
});

describe('onInvalidToken: ignore', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy, {
      'countersign.yaml': settings.replace('policies:', '  onInvalidToken: ignore\npolicies:'),
      'keys/corp.jwks.json': jwks([corp], 'sig'),
      'keys/named.json': jwks([named], 'sig'),
      'keys/prod.json': jwks([prod], 'jwt-svid'),
      'keys/partner.json': 'nonsense',
      'data/revocations.yaml': 'version: 1\ntokens: [{ issuer: corp, jti: gone }]\n',
    });
  });
  after(() => world.close());
  const ignored: readonly Row[] = [
    { name: 'a good token counts', given: () => bearer(token(), '/agent'), want: 'permit agent' },
    {
      name: 'a bad one is no identity',
      given: () => bearer(token({ exp: 1 }), '/agent'),
      want: 'deny 401 credential_missing agent',
    },
    {
      name: 'a bad one leaves the peer its own identity',
      given: () => bearer(token({ exp: 1 }), '/mtls', { principal: bot }),
      want: 'permit mtls',
    },
    {
      name: 'and gives it no other',
      given: () => bearer(token({ exp: 1 }), '/agent', { principal: bot }),
      want: wrongCaller('agent'),
    },
    {
      name: 'a bound token without its proof is none',
      given: () => bearer(token({ cnf: { jkt: 'x' } }), '/agent'),
      want: 'deny 401 credential_missing agent',
    },
    {
      name: 'two tokens are none',
      given: () =>
        lines(['authorization', `Bearer ${token()}`], ['authorization', `Bearer ${token()}`]),
      want: 'deny 401 credential_missing any',
    },
    {
      name: 'a revoked token is no bad one: it denies',
      given: () => bearer(token({ jti: 'gone' }), '/mtls', { principal: bot }),
      want: 'deny 403 revoked',
    },
    {
      name: 'where keys are away nothing is known of the token, so it denies',
      given: () =>
        bearer(svid({ sub: 'spiffe://partner.example/x' }, partner), '/mtls', { principal: bot }),
      want: 'deny 503 bundle_unavailable',
    },
    {
      name: 'a bad peer is never ignored',
      given: () => bearer(token(), '/agent', { principal: 'spiffe://prod.example/../x' }),
      want: 'deny 401 peer_invalid',
    },
  ];
  for (const { name, given, want } of ignored) {
    it(`${name}: ${want}`, async () => expect(said(await world.ask(given()))).to.equal(want));
  }
});
