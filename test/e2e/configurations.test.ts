import { cpSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { refusalOf, runEnvoy, withPorts } from '../../envoy/run-envoy.js';
import { type Answer, type Call, send } from '../../examples/quickstart/client.js';
import { startSidecar } from '../../examples/quickstart/sidecar.js';
import { startUpstream } from '../../examples/quickstart/upstream.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';
import { rendered } from '../support/rendered.js';
import { startSdsAgent } from '../support/sds-agent.js';
import { realEnvoy, type Stage, told } from './stage.js';

interface Row {
  readonly name: string;
  readonly call: (stage: Stage) => Promise<Call> | Call;
  /** As `told` says it, or `not connected`. */
  readonly want: string;
}

interface Scene {
  /** A file of envoy/, and the configuration of envoy/countersign/ that it was made for. */
  readonly envoy: string;
  readonly countersign: string;
  readonly rows: readonly Row[];
  readonly isPlain?: boolean;
  /** Whether the last permitted request arrives with its token. */
  readonly isTokenForwarded?: boolean;
  readonly prepare?: (workplace: Workplace) => Promise<() => void>;
}

const read = (as?: string): Call => ({ method: 'GET', path: '/orders/o-1', as });
const token = async ({ workplace }: Stage, claims: object = {}) =>
  `Bearer ${await workplace.corp.sign({ sub: 'order-robot', aud: 'orders', ...claims })}`;
const robot = (call: Partial<Call>) => async (stage: Stage) => {
  const base = { method: 'GET', path: '/orders/o-1' };
  const headers = { authorization: await token(stage), ...call.headers };
  return { ...base, ...call, headers };
};
const write = (body: object) =>
  robot({
    method: 'POST',
    path: '/orders',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
const exported = (forwardedFor?: string) =>
  robot({
    path: '/export',
    headers: forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor },
  });

const both: readonly Row[] = [
  {
    name: 'the planner by its certificate',
    call: () => read('planner'),
    want: 'permit orders-read',
  },
  { name: 'the robot by its token', call: robot({}), want: 'permit orders-read' },
  {
    name: 'another workload',
    call: () => read('other'),
    want: 'deny 403 principal_not_allowed orders-read',
  },
  { name: 'nobody', call: () => read(), want: 'deny 401 credential_missing orders-read' },
  { name: 'a DNS name like an id', call: () => read('dns'), want: 'deny 401 peer_invalid' },
  { name: 'a short body', call: write({ lines: [1] }), want: 'permit orders-write' },
  {
    name: 'a body with too many lines',
    call: write({ lines: Array.from({ length: 11 }, () => 1) }),
    want: 'deny 403 condition_false orders-write',
  },
  {
    name: 'a body over limits.body, which Envoy refuses',
    call: write({ lines: 'x'.repeat(65_537) }),
    want: 'no decision, 413',
  },
];

const certified: readonly Row[] = [
  { name: 'the planner', call: () => read('planner'), want: 'permit orders-read' },
  {
    name: 'another workload',
    call: () => read('other'),
    want: 'deny 403 principal_not_allowed orders-read',
  },
  { name: 'nobody', call: () => read(), want: 'not connected' },
  { name: 'another trust domain', call: () => read('stranger'), want: 'not connected' },
  { name: 'a DNS name like an id', call: () => read('dns'), want: 'not connected' },
];

const forwarded: readonly Row[] = [
  { name: 'from the office', call: exported('203.0.113.7'), want: 'permit office-export' },
  {
    name: 'from elsewhere, claiming the office before the proxy',
    call: exported('203.0.113.7, 198.51.100.1'),
    want: 'deny 403 source_not_allowed office-export',
  },
  {
    name: 'past the proxy',
    call: exported(),
    want: 'deny 403 source_not_allowed office-export',
  },
];

async function addCallers(workplace: Workplace): Promise<void> {
  await workplace.addCaller('planner', 'spiffe://prod.example/ns/orders/sa/planner');
  await workplace.addCaller('other', 'spiffe://prod.example/ns/other/sa/other');
  await workplace.addCaller('stranger', 'spiffe://other.example/ns/orders/sa/planner');
  const dns = await workplace.authority.issue({
    dns: ['spiffe://prod.example/ns/orders/sa/planner'],
  });
  workplace.write('certs/dns.pem', dns.certificatePem);
  workplace.write('certs/dns.key', dns.keyPem);
}

async function startAgent(workplace: Workplace): Promise<() => void> {
  const uris = ['spiffe://prod.example/ns/edge/sa/gateway'];
  const svid = await workplace.authority.issue({ uris, ips: ['127.0.0.1'] });
  const bundle = workplace.authority.certificatePem;
  const agent = await startSdsAgent(workplace.path('agent.sock'), 'prod.example', bundle, svid);
  return agent.stop;
}

async function addOwnCertificate(workplace: Workplace): Promise<() => void> {
  const own = await workplace.authority.issue({ ips: ['127.0.0.1'] });
  workplace.write('certs/countersign.pem', own.certificatePem);
  workplace.write('certs/countersign.key', own.keyPem);
  workplace.write('certs/countersign-ca.pem', workplace.authority.certificatePem);
  return () => {};
}

const scenes: readonly Scene[] = [
  { envoy: 'tcp.yaml', countersign: 'tcp.yaml', rows: both, isTokenForwarded: true },
  { envoy: 'unix-socket.yaml', countersign: 'unix-socket.yaml', rows: both },
  {
    envoy: 'tls.yaml',
    countersign: 'tls.yaml',
    rows: both,
    isTokenForwarded: true,
    prepare: addOwnCertificate,
  },
  { envoy: 'mtls.yaml', countersign: 'mtls.yaml', rows: certified },
  {
    envoy: 'hop.yaml',
    countersign: 'hop.yaml',
    rows: forwarded,
    isPlain: true,
    isTokenForwarded: true,
  },
  { envoy: 'spire.yaml', countersign: 'mtls.yaml', rows: certified, prepare: startAgent },
];

/** The files themselves, with free ports; sockets and certificates in the workplace's folder. */
async function raise(scene: Scene): Promise<Stage> {
  const workplace = await createWorkplace();
  const { ports } = workplace;
  await addCallers(workplace);
  const stopMore = (await scene.prepare?.(workplace)) ?? (() => {});
  cpSync('envoy/countersign/policies', workplace.path('policies'), { recursive: true });
  const text = readFileSync(`envoy/countersign/${scene.countersign}`, 'utf8');
  const isSocket = /^listen: unix:/m.test(text);
  const socket = workplace.path('authz.sock');
  const listen = isSocket ? `unix://${socket}` : `127.0.0.1:${ports.countersign}`;
  workplace.write(
    'countersign.yaml',
    // A busy machine may take longer than the usual 100 ms for the first Check.
    `listen: ${listen}\ndeadline: 800ms\nadmin: 127.0.0.1:${ports.admin}\n${text.replace(/^listen: .*\n/m, '')}`,
  );
  const upstream = await startUpstream(ports.app);
  const sidecar = await startSidecar(workplace.configFile, ports.admin);
  const config = withPorts(scene.envoy, {
    ingress: ports.ingress,
    admin: ports.envoyAdmin,
    app: ports.app,
    countersign: isSocket ? socket : ports.countersign,
  }).replace('/run/spire/agent.sock', workplace.path('agent.sock'));
  const envoy = await runEnvoy(await realEnvoy(), workplace.folder, config, ports.envoyAdmin);
  const stage: Stage = {
    workplace,
    upstream,
    envoy,
    sidecar,
    close: async () => {
      await envoy.stop();
      await stage.sidecar.stop('SIGKILL');
      await upstream.stop();
      stopMore();
      workplace.remove();
    },
  };
  return stage;
}

async function sendPlain({ workplace }: Stage, call: Call): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${workplace.ports.ingress}${call.path}`, {
    method: call.method,
    headers: { ...call.headers },
  });
  const headers = Object.fromEntries(response.headers);
  return { status: response.status, headers, body: await response.text() };
}

async function outcome(stage: Stage, { isPlain }: Scene, call: Call): Promise<string> {
  try {
    const answer = isPlain
      ? await sendPlain(stage, call)
      : await send(stage.workplace, call, 'HTTP/1.1');
    return await told(stage, answer);
  } catch {
    return 'not connected';
  }
}

const suite = withoutEnvoy ? describe.skip : describe;

suite('the configurations of envoy/', () => {
  let workplace: Workplace;
  before(async () => {
    workplace = await createWorkplace();
    await addOwnCertificate(workplace);
  });
  after(() => workplace.remove());

  for (const { file } of [...rendered, { file: 'quickstart.yaml' }]) {
    it(`load in the real Envoy: ${file}`, async () => {
      const text = readFileSync(`envoy/${file}`, 'utf8');
      expect(await refusalOf(await realEnvoy(), workplace.folder, text)).to.equal('');
    });
  }

  it('are each decided through below', () => {
    expect(scenes.map(({ envoy }) => envoy).sort()).to.deep.equal(
      rendered.map(({ file }) => file).sort(),
    );
  });
});

for (const scene of scenes) {
  suite(`requests through envoy/${scene.envoy}`, () => {
    let stage: Stage;
    before(async function () {
      this.timeout(120_000);
      stage = await raise(scene);
    });
    after(() => stage.close());

    for (const { name, call, want } of scene.rows) {
      it(`are decided: ${name}`, async () => {
        const arrived = stage.upstream.arrivals.length;
        expect(await outcome(stage, scene, await call(stage))).to.equal(want);
        const isThrough = stage.upstream.arrivals.length > arrived;
        expect(isThrough, 'arrived at the application').to.equal(want.startsWith('permit'));
      });
    }

    it('tell the application who it is, and forward the token only where it is meant', () => {
      const { headers } = stage.upstream.arrivals[stage.upstream.arrivals.length - 1] ?? {};
      expect(headers?.['x-countersign-rule']).to.match(/^(orders|office)-/);
      expect(headers?.authorization !== undefined).to.equal(scene.isTokenForwarded === true);
    });

    it('run the version of Envoy that was asked for', async () => {
      const response = await fetch(
        `http://127.0.0.1:${stage.workplace.ports.envoyAdmin}/server_info`,
      );
      const { version } = (await response.json()) as { version: string };
      expect(version).to.include(process.env['COUNTERSIGN_ENVOY_VERSION'] ?? '');
    });
  });
}
