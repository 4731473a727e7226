import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import {
  type Authority,
  createAuthority,
  keyUsage,
  type LeafOptions,
} from '../../examples/quickstart/pki.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [authenticated], paths: [/] }
`;
const id = 'spiffe://prod.example/ns/a/sa/one';
const hour = 3_600_000;
const at = (ms: number) => new Date(Date.now() + ms);

const rows: readonly { name: string; leaf: LeafOptions; principal?: string; want: string }[] = [
  { name: 'one URI SAN that is the principal', leaf: { uris: [id] }, want: 'permit' },
  {
    name: 'DNS SANs beside it',
    leaf: { uris: [id], dns: ['a.example', 'b.example'] },
    want: 'permit',
  },
  {
    name: 'two URI SANs, the first of which is the principal (C11)',
    leaf: { uris: [id, 'spiffe://prod.example/x'] },
    want: 'peer_invalid',
  },
  {
    name: 'another URI first',
    leaf: { uris: ['https://evil.example/', id] },
    principal: 'https://evil.example/',
    want: 'peer_invalid',
  },
  { name: 'a principal that came from a DNS SAN (C13)', leaf: { dns: [id] }, want: 'peer_invalid' },
  {
    name: 'a principal that is another id',
    leaf: { uris: [id] },
    principal: 'spiffe://prod.example/ns/a/sa/two',
    want: 'peer_invalid',
  },
  {
    name: 'no principal beside a SPIFFE id',
    leaf: { uris: [id] },
    principal: '',
    want: 'peer_invalid',
  },
  {
    name: 'a DNS name and no SPIFFE id at all',
    leaf: { dns: ['a.example'] },
    principal: 'a.example',
    want: 'credential_missing',
  },
  { name: 'an authority', leaf: { uris: [id], isAuthority: true }, want: 'peer_invalid' },
  {
    name: 'a key that may sign certificates',
    leaf: { uris: [id], keyUsage: keyUsage.digitalSignature | keyUsage.keyCertSign },
    want: 'peer_invalid',
  },
  {
    name: 'a key that may not sign',
    leaf: { uris: [id], keyUsage: keyUsage.keyEncipherment },
    want: 'peer_invalid',
  },
  {
    name: 'an expired one',
    leaf: { uris: [id], notBefore: at(-3 * hour), notAfter: at(-hour) },
    want: 'peer_invalid',
  },
  {
    name: 'one of tomorrow',
    leaf: { uris: [id], notBefore: at(hour), notAfter: at(2 * hour) },
    want: 'peer_invalid',
  },
  {
    name: 'a trust domain without a path',
    leaf: { uris: ['spiffe://prod.example'] },
    principal: 'spiffe://prod.example',
    want: 'peer_invalid',
  },
  {
    name: 'another trust domain',
    leaf: { uris: ['spiffe://evil/x'] },
    principal: 'spiffe://evil/x',
    want: 'trust_domain_refused',
  },
];

describe('a peer certificate', () => {
  let world: World;
  let authority: Authority;
  before(async () => {
    authority = await createAuthority('prod.example');
    world = await createWorld(policy, { 'countersign.yaml': patient });
  });
  after(() => world.close());
  const ask = async (leaf: LeafOptions, principal = id, issuer = authority, on = world) => {
    const { certificatePem } = await issuer.issue(leaf);
    const certificate = encodeURIComponent(certificatePem);
    const outcome = await on.ask({ principal, certificate });
    return outcome.effect === 'permit' ? 'permit' : outcome.code;
  };

  for (const { name, leaf, principal, want } of rows) {
    it(`${name}: ${want}`, async () => {
      expect(await ask(leaf, principal)).to.equal(want);
    });
  }

  it('that cannot be read is refused (row 46)', async () => {
    expect((await world.ask({ principal: id, certificate: 'x' })).code).to.equal('peer_invalid');
    expect((await world.ask({ principal: id, certificate: '%zz' })).code).to.equal('peer_invalid');
  });

  it('counts its dates on every request, also when it was read before', async () => {
    const { certificatePem } = await authority.issue({ uris: [id], notAfter: at(hour) });
    const given = { principal: id, certificate: encodeURIComponent(certificatePem) };
    expect((await world.ask(given)).effect).to.equal('permit');
    world.ahead = 2 * hour;
    expect((await world.ask(given)).code).to.equal('peer_invalid');
    world.ahead = 0;
    expect((await world.ask(given)).effect).to.equal('permit');
  });

  it('is revoked by its SHA-256, however it is spelled', async () => {
    const issued = await authority.issue({ uris: [id] });
    const { createHash } = await import('node:crypto');
    const digest = createHash('sha256')
      .update(Buffer.from(issued.certificate.rawData))
      .digest('hex');
    const colons = digest.toUpperCase().match(/../g)?.join(':');
    world.write('data/revocations.yaml', `version: 1\ncertificates: ["${colons}"]\n`);
    await world.loader.load();
    const given = { principal: id, certificate: encodeURIComponent(issued.certificatePem) };
    expect((await world.ask(given)).code).to.equal('revoked');
    world.write('data/revocations.yaml', 'version: 1\n');
    await world.loader.load();
  });

  it('must be there where it is required', async () => {
    const strict = await createWorld(policy, {
      'countersign.yaml': patient.replace(
        'prod.example] }',
        'prod.example], peer: { certificate: required } }',
      ),
    });
    expect((await strict.ask({ principal: id })).code).to.equal('peer_invalid');
    expect(await ask({ uris: [id] }, id, authority, strict)).to.equal('permit');
    expect(await ask({ dns: ['a.example'] }, 'a.example', authority, strict)).to.equal(
      'peer_invalid',
    );
    strict.close();
  });

  it('must be issued by an authority of its own trust domain where a bundle is configured (C16)', async () => {
    const x5c = Buffer.from(authority.certificate.rawData).toString('base64');
    const jwk = { kty: 'EC', use: 'x509-svid', crv: 'P-256', x: 'AA', y: 'AA', x5c: [x5c] };
    const bundled = await createWorld(policy, {
      'countersign.yaml': patient.replace(
        'prod.example] }',
        'prod.example], peer: { bundles: { prod.example: keys/bundle.json } } }',
      ),
      // Beyond 2^53: the sequence is not read as a number.
      'keys/bundle.json': `{"keys":[${JSON.stringify(jwk)}],"spiffe_sequence":9007199254740993}`,
    });
    expect(await ask({ uris: [id] }, id, authority, bundled)).to.equal('permit');
    const evil = await createAuthority('prod.example');
    expect(await ask({ uris: [id] }, id, evil, bundled)).to.equal('peer_invalid');
    bundled.close();
  });
});

const hash = 'ab'.repeat(32);
const xfccRows: readonly { name: string; value: string; want: string }[] = [
  {
    name: 'one element',
    value: `By=spiffe://prod.example/x;Hash=${hash};Subject="";URI=${id}`,
    want: `permit ${id}`,
  },
  {
    name: "the last of two: the first is the client's forgery (C8)",
    value: `URI=spiffe://prod.example/admin,By=x;Hash=${hash};URI=${id}`,
    want: `permit ${id}`,
  },
  {
    name: 'a Subject with an element inside (C10)',
    value: `Subject="CN=x;URI=spiffe://prod.example/admin";URI=${id}`,
    want: `permit ${id}`,
  },
  {
    name: 'a Subject that ends in a backslash (C10)',
    value: `Subject="CN=x\\\\";URI=${id}`,
    want: `permit ${id}`,
  },
  {
    name: 'an open quote (C10)',
    value: 'URI=spiffe://prod.example/a;Subject="x',
    want: 'peer_invalid',
  },
  {
    name: 'two URIs in one element (C10)',
    value: `URI=${id};URI=spiffe://prod.example/admin`,
    want: 'peer_invalid',
  },
  { name: 'a pair without = (C10)', value: `URI=${id};admin`, want: 'peer_invalid' },
  { name: 'a key that is none', value: `URI=${id};Role=admin`, want: 'peer_invalid' },
  { name: 'text behind a quote', value: `Subject="x"y;URI=${id}`, want: 'peer_invalid' },
  {
    name: '64 KiB (C10)',
    value: `Subject="${'x'.repeat(65_536)}";URI=${id}`,
    want: 'peer_invalid',
  },
  { name: 'another trust domain', value: 'URI=spiffe://evil/x', want: 'trust_domain_refused' },
  { name: 'no URI', value: 'Hash=x;Subject="CN=a"', want: 'credential_missing' },
  { name: 'an empty URI', value: `Hash=${hash};Subject="";URI=`, want: 'credential_missing' },
  { name: 'a hash that is none', value: `Hash=x;URI=${id}`, want: 'peer_invalid' },
  { name: 'two hashes', value: `Hash=${hash};Hash=${hash};URI=${id}`, want: 'peer_invalid' },
  { name: 'keys in any case', value: `HASH=${hash};uri=${id}`, want: `permit ${id}` },
  { name: 'a trailing comma', value: `URI=${id},`, want: 'peer_invalid' },
  { name: 'an id behind a blank', value: `URI= ${id}`, want: 'peer_invalid' },
  { name: 'a quote inside', value: `URI=${id}"x"`, want: 'peer_invalid' },
];

describe('x-forwarded-client-cert with xfcc: last', () => {
  let world: World;
  let off: World;
  before(async () => {
    off = await createWorld(policy, { 'countersign.yaml': patient });
    world = await createWorld(policy, {
      'countersign.yaml': patient.replace(
        'prod.example] }',
        'prod.example], peer: { xfcc: last } }',
      ),
    });
  });
  after(() => {
    world.close();
    off.close();
  });
  for (const { name, value, want } of xfccRows) {
    it(`${name}: ${want.split(' ')[0]}`, async () => {
      const outcome = await world.ask({ headers: { 'x-forwarded-client-cert': value } });
      const principal = outcome.record.decision.principal;
      expect(outcome.effect === 'permit' ? `permit ${principal}` : outcome.code).to.equal(want);
    });
  }
  it('refuses two headers (C10)', async () => {
    const line = ['x-forwarded-client-cert', `URI=${id}`] as const;
    expect((await world.ask({ lines: [line, line] })).code).to.equal('peer_invalid');
  });
  it('is ignored when it is off (row 49)', async () => {
    const outcome = await off.ask({ headers: { 'x-forwarded-client-cert': `URI=${id}` } });
    expect(said(outcome)).to.equal('deny 401 credential_missing any');
  });
});
