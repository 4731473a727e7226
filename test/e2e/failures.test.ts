import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { createCases } from '../../examples/quickstart/cases.js';
import { type Answer, type Call, send } from '../../examples/quickstart/client.js';
import { startSidecar } from '../../examples/quickstart/sidecar.js';
import { checkPath } from '../../src/server/listener.js';
import { createStage, type Edit, type Stage, told } from './stage.js';

const permitted: Call = { method: 'GET', path: '/finance/x', as: 'agent' };
const denied: Call = { method: 'POST', path: '/finance/x', as: 'agent' };

/** Sets `failure_mode_allow` in the ext_authz filter of the bootstrap. */
const openOnFailure: Edit = (bootstrap) => {
  const text = JSON.stringify(bootstrap).replace(
    '"failure_mode_allow":false',
    '"failure_mode_allow":true',
  );
  Object.assign(bootstrap, JSON.parse(text));
};

/** A double in the sidecar's place that answers every Check with these bytes, after a while. */
async function startDouble(port: number, answer: Uint8Array, delayMs: number): Promise<Server> {
  const server = new Server();
  const bytes = (value: Buffer) => value;
  server.addService(
    {
      Check: {
        path: checkPath,
        requestStream: false,
        responseStream: false,
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    },
    {
      Check: (_call: unknown, reply: (error: null, value: Buffer) => void) => {
        setTimeout(() => reply(null, Buffer.from(answer)), delayMs);
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return server;
}

const suite = withoutEnvoy ? describe.skip : describe;

suite('a failing sidecar behind Envoy with failure_mode_allow: false', () => {
  let stage: Stage;
  before(async function () {
    this.timeout(120_000);
    stage = await createStage();
    await createCases(stage.workplace);
  });
  after(() => stage.close());
  const nothingArrives = async (want: number, call = permitted): Promise<Answer> => {
    const arrived = stage.upstream.arrivals.length;
    const answer = await send(stage.workplace, call, 'HTTP/1.1');
    expect(answer.status).to.equal(want);
    expect(stage.upstream.arrivals.length).to.equal(arrived);
    return answer;
  };
  let double: Server | undefined;
  afterEach(() => double?.forceShutdown());

  it('lets nothing through when it is killed', async () => {
    expect(await told(stage, await send(stage.workplace, permitted, 'HTTP/1.1'))).to.equal(
      'permit finance-use',
    );
    await stage.sidecar.stop('SIGKILL');
    await nothingArrives(503);
  });

  it('lets nothing through when it is slower than Envoy waits', async () => {
    double = await startDouble(
      stage.workplace.ports.countersign,
      Uint8Array.of(0x0a, 0, 0x1a, 0),
      3_000,
    );
    await nothingArrives(503);
  });

  it('lets nothing through when it answers garbage', async () => {
    double = await startDouble(stage.workplace.ports.countersign, Uint8Array.of(0xff, 0xff, 1), 0);
    await nothingArrives(503);
  });

  it('goes on deciding when it is back', async () => {
    stage.sidecar = await startSidecar(stage.workplace.configFile, stage.workplace.ports.admin);
    let last = '';
    for (let tries = 0; tries < 50 && last !== 'permit finance-use'; tries += 1) {
      last = await told(stage, await send(stage.workplace, permitted, 'HTTP/1.1'));
    }
    expect(last).to.equal('permit finance-use');
    expect(await told(stage, await send(stage.workplace, denied, 'HTTP/2'))).to.equal(
      'deny 403 denied_by_rule agents-do-not-write-finance',
    );
  });

  it('restarts under load with no unauthorised request', async () => {
    const arrived = stage.upstream.arrivals.length;
    let stopped = false;
    const statuses = new Map<number, number>();
    const load = async () => {
      while (!stopped) {
        const { status } = await send(stage.workplace, denied, 'HTTP/1.1');
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    const loads = [load(), load(), load(), load()];
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await stage.sidecar.stop('SIGTERM')).to.equal(0);
    stage.sidecar = await startSidecar(stage.workplace.configFile, stage.workplace.ports.admin);
    await new Promise((resolve) => setTimeout(resolve, 300));
    stopped = true;
    await Promise.all(loads);
    expect(stage.upstream.arrivals.length).to.equal(arrived);
    expect([...statuses.keys()].filter((status) => status !== 403 && status !== 503)).to.deep.equal(
      [],
    );
    expect(statuses.get(403)).to.be.greaterThan(10);
  });
});

suite('a deny behind Envoy with failure_mode_allow: true', () => {
  let stage: Stage;
  before(async function () {
    this.timeout(120_000);
    stage = await createStage({ edit: openOnFailure, socket: true });
    await createCases(stage.workplace);
  });
  after(() => stage.close());

  const denies: readonly { name: string; call: Call; want: string }[] = [
    {
      name: 'by a rule',
      call: denied,
      want: 'deny 403 denied_by_rule agents-do-not-write-finance',
    },
    {
      name: 'by no rule',
      call: { method: 'GET', path: '/nowhere', as: 'agent' },
      want: 'deny 403 no_rule',
    },
    {
      name: 'for an ambiguous path',
      call: { method: 'GET', path: '/finance/a;b', as: 'agent' },
      want: 'deny 400 path_ambiguous',
    },
    {
      name: 'for a missing credential',
      call: { method: 'GET', path: '/finance/x' },
      want: 'deny 401 credential_missing finance-use',
    },
    {
      name: 'for bytes that are no UTF-8',
      call: { method: 'GET', path: '/finance/x', headers: { 'x-bytes': '\u00e9\u00ff' } },
      want: 'deny 401 credential_missing finance-use',
    },
  ];
  for (const { name, call, want } of denies) {
    it(`still denies ${name}`, async () => {
      const arrived = stage.upstream.arrivals.length;
      expect(await told(stage, await send(stage.workplace, call, 'HTTP/1.1'))).to.equal(want);
      expect(stage.upstream.arrivals.length).to.equal(arrived);
    });
  }

  it('permits over the unix socket', async () => {
    expect(await told(stage, await send(stage.workplace, permitted, 'HTTP/2'))).to.equal(
      'permit finance-use',
    );
  });
});
