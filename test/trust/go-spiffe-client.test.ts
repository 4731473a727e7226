import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, before, beforeEach, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { describeGo } from '../support/go-program.js';
import { buildGoSpiffe, fetchByGo, type GoWatch, watchByGo } from '../support/go-spiffe.js';
import {
  createSpiffeAgent,
  newJwtKey,
  newTrustDomain,
  type SpiffeAgent,
  type TrustDomain,
} from '../support/spiffe-agent.js';

const bot = 'spiffe://prod.example/ns/a/sa/bot';

describeGo("go-spiffe's client, run against the agent of the tests", () => {
  let program: string;
  let folder: string;
  let agent: SpiffeAgent;
  let prod: TrustDomain;
  let partner: TrustDomain;
  let watch: GoWatch | undefined;

  before(function () {
    this.timeout(300_000);
    program = buildGoSpiffe();
  });
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-go-'));
    prod = await newTrustDomain('prod.example');
    partner = await newTrustDomain('partner.example');
    const entries = [{ id: bot }, { id: `${bot}2`, hint: 'internal' }];
    const state = { own: prod, federated: [partner], entries, isAttested: true };
    agent = createSpiffeAgent(join(folder, 'agent.sock'), state);
    await agent.start();
  });
  afterEach(async () => {
    await watch?.stop();
    watch = undefined;
    agent.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const kids = ({ jwtKeys }: TrustDomain) => jwtKeys.map(({ kid }) => kid).sort();

  it('gets X.509-SVIDs that it verifies, JWT-SVIDs that it validates, and all bundles', async () => {
    const authorities = { 'partner.example': 1, 'prod.example': 1 };
    const audience = ['edge', 'other'];
    expect(await fetchByGo(program, agent.address, 'edge')).to.deep.equal({
      FetchX509SVID: {
        svids: [
          { id: bot, hint: '', verified: true },
          { id: `${bot}2`, hint: 'internal', verified: true },
        ],
        bundles: authorities,
      },
      FetchX509Bundles: authorities,
      FetchJWTBundles: { 'partner.example': kids(partner), 'prod.example': kids(prod) },
      FetchJWTSVID: [
        { id: bot, hint: '', audience },
        { id: `${bot}2`, hint: 'internal', audience },
      ],
      offline: [{ id: bot, hint: '', audience }],
      ValidateJWTSVID: [{ id: bot, hint: '', audience }],
      'ValidateJWTSVID nobody': 'InvalidArgument: the JWT-SVID is not valid',
    });
  });

  const refusals = [
    {
      name: 'no entry matches it',
      changes: { entries: [] },
      want: 'PermissionDenied: no identity issued',
    },
    {
      name: 'it cannot be attested',
      changes: { isAttested: false },
      want: 'Unavailable: workload attestation failed',
    },
  ];
  for (const { name, changes, want } of refusals) {
    it(`is refused as by SPIRE when ${name}`, async () => {
      agent.update(changes);
      const said = await fetchByGo(program, agent.address, 'edge');
      for (const method of [
        'FetchX509SVID',
        'FetchX509Bundles',
        'FetchJWTBundles',
        'FetchJWTSVID',
      ]) {
        expect(said[method], method).to.equal(want);
      }
    });
  }

  it('is told of a rotation, of a federated domain that vanishes, and of the agent that comes back', async () => {
    const watching = watchByGo(program, agent.address);
    watch = watching;
    const last = (stream: string) => watching.told().findLast((one) => stream in one)?.[stream];
    const isTold = (stream: string, want: unknown) =>
      until(
        async () => JSON.stringify(last(stream)) === JSON.stringify(want),
        `${stream} is ${JSON.stringify(last(stream))}`,
      );
    await isTold('jwt', { 'partner.example': kids(partner), 'prod.example': kids(prod) });
    const rotated = { ...prod, jwtKeys: [newJwtKey(), ...prod.jwtKeys] };
    agent.update({ own: rotated, federated: [] });
    await isTold('jwt', { 'prod.example': kids(rotated) });
    const shown = [bot, `${bot}2`].map((id, at) => ({
      id,
      hint: at === 0 ? '' : 'internal',
      verified: true,
    }));
    await isTold('x509', { bundles: { 'prod.example': 1 }, svids: shown });
    agent.update({ entries: [] });
    await isTold('jwtError', 'PermissionDenied: no identity issued');
    agent.stop();
    await until(
      async () => String(last('jwtError')).startsWith('Unavailable'),
      `it says ${last('jwtError')}`,
    );
    agent.update({ entries: [{ id: bot }], own: prod });
    await agent.start();
    await isTold('jwt', { 'prod.example': kids(prod) });
  });
});
