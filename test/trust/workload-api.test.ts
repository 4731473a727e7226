import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import {
  authoritiesOf,
  createSpiffeAgent,
  jwksOf,
  newJwtKey,
  newTrustDomain,
  type SpiffeAgent,
  signSvid,
  type TrustDomain,
  workloadService,
} from '../support/spiffe-agent.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [authenticated], paths: [/] }
`;
const bot = 'spiffe://prod.example/ns/a/sa/bot';
const guest = 'spiffe://partner.example/ns/b/sa/guest';
const gone = 'deny 503 bundle_unavailable';

/** The configuration of the worlds here: two trust domains, and no bundle file. */
const withAgent = (address: string, more = '') =>
  patient.replace(
    'spiffe: { trustDomains: [prod.example] }',
    `spiffe: { trustDomains: [prod.example, partner.example], jwtSvid: { audiences: [edge]${more} }, workloadApi: "${address}", maxBundleAge: 1h }`,
  );

describe('bundles of the Workload API', () => {
  let folder: string;
  let agent: SpiffeAgent;
  let prod: TrustDomain;
  let partner: TrustDomain;
  let world: World;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-agent-'));
    prod = await newTrustDomain('prod.example');
    partner = await newTrustDomain('partner.example');
    const entries = [{ id: 'spiffe://prod.example/ns/edge/sa/countersign' }];
    const state = { own: prod, federated: [partner], entries, isAttested: true };
    agent = createSpiffeAgent(join(folder, 'agent.sock'), state);
    await agent.start();
    world = await createWorld(policy, { 'countersign.yaml': withAgent(agent.address) });
  });
  afterEach(async () => {
    await world.loader.close();
    world.close();
    agent.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const ask = async (token: string) =>
    said(await world.ask({ path: '/', headers: { authorization: `Bearer ${token}` } }));
  const askBot = async (changes = {}) => ask(await signSvid(prod, bot, 'edge', changes));
  const becomes = (want: string, now: () => Promise<string> = askBot) =>
    until(async () => (await now()) === want, `it does not become "${want}"`);
  const peer = async (domain: TrustDomain, id: string) => {
    const issued = await domain.authorities[0]?.issue({ uris: [id] });
    const certificate = encodeURIComponent(issued?.certificatePem ?? '');
    return async () => said(await world.ask({ path: '/', principal: id, certificate }));
  };

  it('verify JWT-SVIDs of the own and of a federated trust domain', async () => {
    await becomes('permit any');
    expect(await ask(await signSvid(partner, guest, 'edge'))).to.equal('permit any');
    expect(await askBot({ aud: 'other' })).to.equal('deny 401 token_audience_mismatch');
  });

  it('are not pooled: a key of one trust domain signs for no other (C16)', async () => {
    await becomes('permit any');
    const [stolen] = partner.jwtKeys;
    const [own] = prod.jwtKeys;
    const forger = { ...partner, jwtKeys: [{ ...newJwtKey(), ...stolen, kid: own?.kid ?? '' }] };
    expect(await ask(await signSvid(forger, bot, 'edge'))).to.equal(
      'deny 401 token_signature_invalid',
    );
    expect(await ask(await signSvid(partner, bot, 'edge'))).to.equal('deny 401 token_key_unknown');
  });

  it('verify the chain of peers, each by its own trust domain', async () => {
    await becomes('permit any', await peer(prod, bot));
    expect(await (await peer(partner, guest))()).to.equal('permit any');
    expect(await (await peer(partner, bot))()).to.equal('deny 401 peer_invalid');
  });

  it('rotate while requests flow: no request fails, and no old key is left after its redaction', async () => {
    await becomes('permit any');
    const old = prod;
    const oldPeer = await peer(old, bot);
    await becomes('permit any', oldPeer);
    const answers = new Set<string>();
    let isFlowing = true;
    const flow = (async () => {
      while (isFlowing) {
        answers.add(await askBot());
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const next = await newTrustDomain('prod.example');
    const both = (one: TrustDomain, other: TrustDomain): TrustDomain => ({
      name: one.name,
      jwtKeys: [...one.jwtKeys, ...other.jwtKeys],
      authorities: [...one.authorities, ...other.authorities],
    });
    const token = await signSvid(old, bot, 'edge');
    expect(await ask(token)).to.equal('permit any');
    agent.update({ own: both(old, next) });
    await becomes('permit any', async () => ask(await signSvid(next, bot, 'edge')));
    prod = both(next, old);
    expect(await ask(token)).to.equal('permit any');
    agent.update({ own: next });
    await becomes('deny 401 token_key_unknown', () => ask(token));
    await becomes('deny 401 peer_invalid', oldPeer);
    isFlowing = false;
    await flow;
    expect([...answers]).to.deep.equal(['permit any']);
  });

  it('stay while the agent is away until maxBundleAge has passed, and come again with it', async () => {
    await becomes('permit any');
    const botPeer = await peer(prod, bot);
    await becomes('permit any', botPeer);
    const states = () => world.loader.keySources();
    agent.stop();
    await until(
      async () => states().every(({ failures }) => failures > 1),
      'the agent is not missed',
    );
    expect([await askBot(), await botPeer()]).to.deep.equal(['permit any', 'permit any']);
    expect(states().map(({ name, lastError }) => `${name} ${lastError}`)).to.deep.equal([
      'workload-api/jwt the agent answers UNAVAILABLE',
      'workload-api/x509 the agent answers UNAVAILABLE',
    ]);
    world.ahead += 3_000_000;
    expect([await askBot({ exp: inAnHourOf(world) }), await askBot()]).to.deep.equal([
      'permit any',
      'deny 401 token_expired',
    ]);
    world.ahead += 700_000;
    expect(await askBot({ exp: inAnHourOf(world) })).to.equal(gone);
    expect(await botPeer()).to.equal(gone);
    await agent.start();
    await becomes('permit any', () => askBot({ exp: inAnHourOf(world) }));
    await becomes('permit any', botPeer);
    expect(states().map(({ failures, ageMs }) => [failures, ageMs])).to.deep.equal([
      [0, 0],
      [0, 0],
    ]);
  });

  it('are waited for by nobody: a sidecar that starts without its agent answers, and takes them when it comes', async () => {
    agent.stop();
    const early = await createWorld(policy, { 'countersign.yaml': withAgent(agent.address) });
    const headers = { authorization: `Bearer ${await signSvid(prod, bot, 'edge')}` };
    const askEarly = async () => said(await early.ask({ path: '/', headers }));
    const corp = await early.corp.sign({ sub: 'robot' });
    expect(await askEarly()).to.equal(gone);
    expect(
      said(await early.ask({ path: '/', headers: { authorization: `Bearer ${corp}` } })),
    ).to.equal('permit any');
    await agent.start();
    await becomes('permit any', askEarly);
    await early.loader.close();
    early.close();
  });

  it('are dropped when the identity of this workload is withdrawn, and taken again (C17)', async () => {
    await becomes('permit any');
    const { entries } = agent.state;
    agent.update({ entries: [] });
    await becomes(gone);
    await becomes(gone, await peer(prod, bot));
    const errors = world.loader.keySources().map(({ lastError }) => lastError);
    expect(new Set(errors)).to.deep.equal(new Set(['the agent answers PERMISSION_DENIED']));
    agent.update({ entries });
    await becomes('permit any');
  });

  it('stay when the workload cannot be attested for a while: nothing was withdrawn', async () => {
    await becomes('permit any');
    agent.update({ isAttested: false });
    const states = () => world.loader.keySources();
    await until(async () => states().every(({ failures }) => failures > 0), 'it is not told');
    expect(await askBot()).to.equal('permit any');
  });

  it('of a federated trust domain are dropped when an update lacks it (C17)', async () => {
    const guestIs = async () => ask(await signSvid(partner, guest, 'edge'));
    const guestPeer = await peer(partner, guest);
    await becomes('permit any', guestIs);
    await becomes('permit any', guestPeer);
    agent.update({ federated: [] });
    await becomes(gone, guestIs);
    await becomes(gone, guestPeer);
    expect(await askBot()).to.equal('permit any');
  });

  it('that are empty revoke their trust domain', async () => {
    await becomes('permit any');
    agent.update({ own: { ...prod, jwtKeys: [], authorities: [] } });
    await becomes('deny 401 token_key_unknown');
    await becomes('deny 401 peer_invalid', await peer(prod, bot));
  });

  it('that cannot be read do not replace good ones, and age', async () => {
    await becomes('permit any');
    const good = { 'spiffe://prod.example': jwksOf(prod) };
    const told = (what: string) =>
      until(
        async () => world.loader.keySources().some(({ lastError }) => lastError?.includes(what)),
        `nothing is said of "${what}"`,
      );
    agent.sendRaw('FetchJWTBundles', { ...good, 'spiffe://prod.example': Buffer.from('{') });
    await told('the bundle of prod.example is not taken');
    expect(await askBot()).to.equal('permit any');
    world.ahead += 3_700_000;
    expect(await askBot({ exp: inAnHourOf(world) })).to.equal(gone);
    agent.sendRaw('FetchJWTBundles', { ...good, 'spiffe://prod.example/a': jwksOf(partner) });
    await told('a bundle is not named by the id of a trust domain');
    expect(await askBot({ exp: inAnHourOf(world) })).to.equal('permit any');
    const cut = authoritiesOf(prod).subarray(0, 200);
    agent.sendRaw('FetchX509Bundles', { 'spiffe://prod.example': cut });
    await told('a certificate cannot be read');
  });

  it('are the same stream over a reload, and a file of a trust domain counts before them', async () => {
    await becomes('permit any');
    const streams = agent.calls.get('FetchJWTBundles');
    const file = { keys: [{ ...JSON.parse(String(jwksOf(partner))).keys[0], use: 'jwt-svid' }] };
    world.write('prod.json', JSON.stringify(file));
    const named = withAgent(agent.address, ', bundles: { prod.example: prod.json }');
    world.write('countersign.yaml', named);
    await world.loader.load();
    expect(await askBot()).to.equal('deny 401 token_key_unknown');
    expect(await ask(await signSvid(partner, bot, 'edge'))).to.equal('permit any');
    expect(await ask(await signSvid(partner, guest, 'edge'))).to.equal('permit any');
    world.write('countersign.yaml', withAgent(agent.address));
    await world.loader.load();
    expect(await askBot()).to.equal('permit any');
    expect(agent.calls.get('FetchJWTBundles')).to.equal(streams);
  });
});

/** Good for an hour of the world's clock. */
const inAnHourOf = ({ ahead }: World) => Math.floor((Date.now() + ahead) / 1000) + 3600;

describe('the agent that the tests use', () => {
  let folder: string;
  let agent: SpiffeAgent;
  let client: Client;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-agent-'));
    const own = await newTrustDomain('prod.example');
    const entries = [{ id: bot }, { id: `${bot}2`, hint: 'internal' }];
    const state = { own, federated: [], entries, isAttested: true };
    agent = createSpiffeAgent(join(folder, 'agent.sock'), state);
    await agent.start();
    client = new Client(agent.address, credentials.createInsecure());
  });
  afterEach(() => {
    client.close();
    agent.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const call = (
    name: 'FetchJWTSVID' | 'ValidateJWTSVID',
    request: object,
    header: Readonly<Record<string, string>> = { 'workload.spiffe.io': 'true' },
  ) => {
    const { path, requestSerialize, responseDeserialize } = workloadService[name];
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(header)) metadata.set(key, value);
    return new Promise<string>((resolve) => {
      const done = (error: ServiceError | null, value?: object) =>
        resolve(error === null ? JSON.stringify(value) : `${status[error.code]} ${error.details}`);
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, done);
    });
  };

  const rows = [
    {
      name: 'no security header',
      request: { audience: ['edge'] },
      header: {},
      want: 'INVALID_ARGUMENT security header missing from request',
    },
    {
      name: 'no audience',
      request: { audience: [] },
      want: 'INVALID_ARGUMENT audience must be specified',
    },
    {
      name: 'a wish that is no SPIFFE id',
      request: { audience: ['edge'], spiffe_id: 'x' },
      want: 'INVALID_ARGUMENT invalid requested SPIFFE ID',
    },
    {
      name: 'an identity that it is not entitled to',
      request: { audience: ['edge'], spiffe_id: 'spiffe://prod.example/x' },
      want: 'PERMISSION_DENIED no identity issued',
    },
  ];
  for (const { name, request, header, want } of rows) {
    it(`refuses a call for a JWT-SVID with ${name}, as SPIRE does`, async () => {
      expect(await call('FetchJWTSVID', request, header)).to.equal(want);
    });
  }

  it('gives one JWT-SVID for each entry, with its hint', async () => {
    const { svids } = JSON.parse(await call('FetchJWTSVID', { audience: ['edge'] }));
    const shown = svids.map((svid: { spiffe_id: string; hint: string }) => [
      svid.spiffe_id,
      svid.hint,
    ]);
    expect(shown).to.deep.equal([
      [bot, ''],
      [`${bot}2`, 'internal'],
    ]);
  });
});
