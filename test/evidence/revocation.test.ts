import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { after, before, beforeEach, describe, it } from 'mocha';
import { createAuthority, type Issued } from '../../examples/quickstart/pki.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [authenticated], paths: [/] }
`;
const bot = 'spiffe://prod.example/ns/a/sa/bot';
const robot = 'spiffe://prod.example/ns/a/sa/robot';
const long = '2000-01-01T00:00:00Z';
const soon = '2999-01-01T00:00:00Z';

interface Row {
  readonly name: string;
  readonly claims?: object;
  readonly isPeer?: true;
  /** The line of revocations.yaml, or of posture.yaml. */
  readonly revocations?: string;
  readonly posture?: string;
  readonly want: string;
}

const revoked = 'deny 403 revoked';
const refused = 'deny 403 posture_refused';
const good = 'permit any';
const suspended = (id: string, more = '') => `identities: { "${id}": { status: active, ${more} } }`;

const rows: readonly Row[] = [
  { name: 'the token', revocations: 'tokens: [{ issuer: corp, jti: j-1 }]', want: revoked },
  { name: 'another token', revocations: 'tokens: [{ issuer: corp, jti: j-2 }]', want: good },
  {
    name: 'a token of another issuer',
    revocations: 'tokens: [{ issuer: x, jti: j-1 }]',
    want: good,
  },
  { name: 'the key', revocations: 'keys: [{ issuer: corp, kid: corp-1 }]', want: revoked },
  { name: 'another key', revocations: 'keys: [{ issuer: corp, kid: corp-2 }]', want: good },
  { name: 'the subject', revocations: 'identities: ["corp:agent-7"]', want: revoked },
  { name: 'another subject', revocations: 'identities: ["corp:agent-70"]', want: good },
  {
    name: 'the subject before a time to come',
    revocations: `identities: [{ id: "corp:agent-7", issuedBefore: "${soon}" }]`,
    want: revoked,
  },
  {
    name: 'the subject before a time long ago',
    revocations: `identities: [{ id: "corp:agent-7", issuedBefore: "${long}" }]`,
    want: good,
  },
  {
    name: 'a subject of a token that does not say when',
    claims: { iat: undefined },
    revocations: `identities: [{ id: "corp:agent-7", issuedBefore: "${long}" }]`,
    want: 'deny 401 token_claim_invalid',
  },
  { name: 'the peer', isPeer: true, revocations: `identities: ["${bot}"]`, want: revoked },
  { name: 'another peer', isPeer: true, revocations: `identities: ["${robot}"]`, want: good },
  {
    name: 'the peer before a time to come',
    isPeer: true,
    revocations: `identities: [{ id: "${bot}", issuedBefore: "${soon}" }]`,
    want: revoked,
  },
  {
    name: 'the peer before a time long ago',
    isPeer: true,
    revocations: `identities: [{ id: "${bot}", issuedBefore: "${long}" }]`,
    want: good,
  },
  {
    name: 'the actor that uses the token',
    claims: { act: { sub: 'robot' } },
    revocations: 'identities: ["corp:robot"]',
    want: revoked,
  },
  {
    name: 'the actor, before a time to come',
    claims: { act: { sub: 'robot' } },
    revocations: `identities: [{ id: "corp:robot", issuedBefore: "${soon}" }]`,
    want: revoked,
  },
  {
    name: 'the actor, before a time long ago',
    claims: { act: { sub: 'robot' } },
    revocations: `identities: [{ id: "corp:robot", issuedBefore: "${long}" }]`,
    want: good,
  },
  {
    name: 'an actor by its SPIFFE id',
    claims: { act: { sub: robot } },
    revocations: `identities: ["${robot}"]`,
    want: revoked,
  },
  {
    name: 'the namesake of an actor of another issuer',
    claims: { act: { sub: 'robot', iss: 'https://other.example' } },
    revocations: 'identities: ["corp:robot"]',
    want: good,
  },
  {
    name: 'an actor of before, which is history',
    claims: { act: { sub: 'agent-8', act: { sub: 'robot' } } },
    revocations: 'identities: ["corp:robot"]',
    want: good,
  },
  {
    name: 'the actor by its posture',
    claims: { act: { sub: 'robot' } },
    posture: 'identities: { "corp:robot": { status: quarantined } }',
    want: refused,
  },
  {
    name: 'the actor by its secret',
    claims: { act: { sub: 'robot' } },
    posture: suspended('corp:robot', 'secretStatus: leaked'),
    want: refused,
  },
  {
    name: 'the actor by its notBefore',
    claims: { act: { sub: 'robot' } },
    posture: suspended('corp:robot', `notBefore: "${soon}"`),
    want: refused,
  },
  {
    name: 'an actor in good posture',
    claims: { act: { sub: 'robot' } },
    posture: suspended('corp:robot'),
    want: good,
  },
];

describe('what is revoked', () => {
  let world: World;
  let peer: Issued;
  before(async () => {
    world = await createWorld(policy, { 'countersign.yaml': patient });
    peer = await (await createAuthority('prod.example')).issue({ uris: [bot] });
  });
  after(() => world.close());
  beforeEach(() => bar({}));

  const bar = async ({ revocations = '', posture = 'identities: {}' }: Partial<Row>) => {
    world.write('data/revocations.yaml', `version: 1\n${revocations}\n`);
    const updatedAt = new Date().toISOString();
    world.write('data/posture.yaml', `version: 1\nupdatedAt: ${updatedAt}\n${posture}\n`);
    await world.loader.load();
    expect(world.loader.findings().filter(({ severity }) => severity === 'error')).to.deep.equal(
      [],
    );
  };
  const shown = async ({ claims, isPeer }: Partial<Row>) => {
    const token = await world.corp.sign({ sub: 'agent-7', jti: 'j-1', ...claims });
    const certificate = encodeURIComponent(peer.certificatePem);
    const own = isPeer === true ? { principal: bot, certificate } : {};
    return { path: '/', headers: { authorization: `Bearer ${token}` }, ...own };
  };

  for (const row of rows) {
    it(`${row.name}, on the very next Check and behind every cache: ${row.want}`, async () => {
      const given = await shown(row);
      const first = said(await world.ask(given));
      await bar(row);
      expect([said(await world.ask(given)), said(await world.ask(given))]).to.deep.equal([
        row.want,
        row.want,
      ]);
      await bar({});
      expect(said(await world.ask(given))).to.equal(first);
    });
  }

  it('a certificate, also of a peer without SPIFFE id', async () => {
    const authority = await createAuthority('other');
    const { certificate: x509, certificatePem } = await authority.issue({ dns: ['a.example'] });
    const sha256 = createHash('sha256').update(Buffer.from(x509.rawData)).digest('hex');
    const certificate = encodeURIComponent(certificatePem);
    const given = { ...(await shown({})), principal: 'a.example', certificate };
    expect(said(await world.ask(given))).to.equal(good);
    await bar({ revocations: `certificates: ["${sha256}"]` });
    expect(said(await world.ask(given))).to.equal(revoked);
  });
});
