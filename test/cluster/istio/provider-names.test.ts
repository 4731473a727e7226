import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Sidecar } from '../../../examples/quickstart/sidecar.js';
import { reserve } from '../../../examples/quickstart/workplace.js';
import { cluster } from '../cluster.js';
import { customPolicy, type Istiod, startIstiod } from './istiod.js';
import { ask, createMesh, type Mesh, settledDecisions } from './mesh.js';
import { startWorkload, type Workload } from './workload.js';

/**
 * Istio finds out whether a provider is to be asked by a prefix that holds the provider's name. So a
 * name that begins with another's is the case to look at.
 */
describe('two providers for one workload, one name the beginning of the other', () => {
  let mesh: Mesh;
  let first: Sidecar;
  let next: Sidecar;
  let token: string;
  const stops: (() => Promise<unknown>)[] = [];

  const objects = [
    customPolicy('countersign', [{ to: [{ operation: { paths: ['/orders/first'] } }] }]),
    customPolicy('countersign-next', [{ to: [{ operation: { paths: ['/orders/next'] } }] }]),
  ];

  const start = async (istiod: Istiod, name: string, number: number, shows: string) => {
    const { certificates } = mesh;
    const options = { name, number, objects, certificates, shows };
    const workload = await startWorkload(cluster(), istiod, options);
    stops.push(() => workload.stop());
    return workload;
  };

  before(async function () {
    this.timeout(180_000);
    mesh = await createMesh('provider-names');
    const [nextPort = 0, nextEntry = 0] = await reserve(2);
    const { kubectl } = cluster();
    await kubectl.run(['create', 'namespace', 'istio-system']);
    const entry = mesh.own('service-entry.yaml');
    const text = JSON.stringify(entry)
      .replaceAll('countersign', 'countersign-next')
      .replaceAll(String(mesh.port), String(nextPort))
      .replaceAll(String(mesh.entryPort), String(nextEntry));
    const entries = [...entry, ...JSON.parse(text)];
    await kubectl.apply(entries);
    stops.push(() => kubectl.must(['delete', '-n', 'istio-system', 'serviceentry', '--all']));
    first = await mesh.startCountersign(`127.0.0.1:${mesh.port}`);
    next = await mesh.startCountersign(`127.0.0.1:${nextPort}`);
    stops.push(
      () => first.stop('SIGKILL'),
      () => next.stop('SIGKILL'),
    );
    token = await mesh.issuer.sign({ sub: 'planner' });
  });
  after(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  const istiod = async (name: string, env: Readonly<Record<string, string>>) => {
    const provider = (id: string, port: number) => ({
      name: id,
      envoyExtAuthzGrpc: { service: `istio-system/${id}.local`, port, timeout: '0.5s' },
    });
    const entryOf = async (id: string) => {
      const { spec } = await cluster().kubectl.get<{
        spec: { ports: readonly { number: number }[] };
      }>(['serviceentry', '-n', 'istio-system', id]);
      return spec.ports[0]?.number ?? 0;
    };
    const started = await startIstiod(cluster(), name, {
      providers: [
        provider('countersign', await entryOf('countersign')),
        provider('countersign-next', await entryOf('countersign-next')),
      ],
      env,
    });
    stops.push(() => started.program.stop());
    return started;
  };

  const asked = async (workload: Workload, path: string) => {
    const one = await settledDecisions(first);
    const two = await settledDecisions(next);
    const { status } = await ask(workload, { path, token });
    return {
      status,
      first: (await settledDecisions(first)) - one,
      next: (await settledDecisions(next)) - two,
    };
  };

  it('refuses what either policy matches, unasked, as Istio comes', async () => {
    const workload = await start(
      await istiod('istiod-one', {}),
      'names-one',
      11,
      'bad-CUSTOM-action',
    );
    for (const path of ['/orders/first', '/orders/next']) {
      expect(await asked(workload, path)).to.deep.equal({ status: 403, first: 0, next: 0 });
    }
  });

  it('asks each about its own requests only, where Istio is told to allow several', async () => {
    const flag = { PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: 'true' };
    const workload = await start(
      await istiod('istiod-many', flag),
      'names-many',
      12,
      'istio-ext-authz-countersign-next',
    );
    expect(await asked(workload, '/orders/first')).to.deep.equal({
      status: 200,
      first: 1,
      next: 0,
    });
    expect(await asked(workload, '/orders/next')).to.deep.equal({ status: 200, first: 0, next: 1 });
    // What no policy matches, nobody is asked about.
    expect(await asked(workload, '/elsewhere')).to.deep.equal({ status: 200, first: 0, next: 0 });
  });
});
