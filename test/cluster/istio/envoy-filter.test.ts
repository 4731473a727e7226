import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Sidecar } from '../../../examples/quickstart/sidecar.js';
import { cluster } from '../cluster.js';
import type { Manifest } from '../kubectl.js';
import { type Istiod, startIstiod } from './istiod.js';
import { ask, createMesh, type Mesh, permits, sendBytes, settledDecisions, told } from './mesh.js';
import { ports, startWorkload, type Workload } from './workload.js';

interface Patches {
  readonly configPatches: readonly { readonly applyTo: string }[];
}

/** The filter of k8s/istio without its last part. */
function withoutConnections(filter: Manifest | undefined): Manifest {
  if (filter === undefined) throw new Error('envoy-filter.yaml is empty');
  const spec = filter['spec'] as Patches;
  const configPatches = spec.configPatches.filter(({ applyTo }) => applyTo !== 'NETWORK_FILTER');
  return { ...filter, spec: { ...spec, configPatches } };
}

describe('the EnvoyFilter of k8s/istio, pushed by a real istiod to a real Envoy', () => {
  let mesh: Mesh;
  let istiod: Istiod;
  let sidecar: Sidecar;
  let token: string;
  let orders: Workload;
  const workloads: Workload[] = [];
  const start = async (name: string, number: number, objects: readonly Manifest[]) => {
    const { certificates } = mesh;
    const shows = '"stat_prefix": "countersign"';
    const options = { name, number, objects, certificates, shows };
    const workload = await startWorkload(cluster(), istiod, options);
    workloads.push(workload);
    return workload;
  };
  // The peer's chain is verified once more: a filter that sends no certificate would have it refused.
  const settings = 'peer: { bundles: { cluster.local: cluster.local.json } }';

  before(async function () {
    this.timeout(180_000);
    mesh = await createMesh('filter');
    await cluster().kubectl.run(['create', 'namespace', 'istio-system']);
    istiod = await startIstiod(cluster(), 'istiod-filter', { providers: [] });
    sidecar = await mesh.startCountersign(`unix://${mesh.socket}`, settings);
    token = await mesh.issuer.sign({ sub: 'planner' });
    orders = await start('filter-own', 21, mesh.own('envoy-filter.yaml'));
    await permits(orders, token);
  });
  after(async () => {
    for (const workload of workloads) await workload.stop();
    await sidecar.stop('SIGKILL');
    await istiod.program.stop();
  });

  it('has requests decided over the unix socket', async () => {
    expect(await told(sidecar, await ask(orders, { path: '/orders/7', token }))).to.equal(
      'permit by-token',
    );
    expect(await told(sidecar, await ask(orders, { path: '/orders/7' }))).to.equal(
      'deny 401 credential_missing',
    );
  });

  it('has them decided by the certificate itself', async () => {
    const { planner, stranger } = mesh;
    expect(await told(sidecar, await ask(orders, { path: '/orders/8', as: planner }))).to.equal(
      'permit by-certificate',
    );
    expect(await told(sidecar, await ask(orders, { path: '/orders/8', as: stranger }))).to.equal(
      'deny 403 principal_not_allowed',
    );
  });

  it('gives header bytes as they are', async () => {
    const headers = { 'x-bytes': '\u00e9\u00ff' };
    const answer = await ask(orders, { path: '/orders/9', token, headers });
    expect(await told(sidecar, answer)).to.equal('permit by-token');
  });

  it('has connections decided that speak no HTTP', async () => {
    const decided = await settledDecisions(sidecar);
    expect(await sendBytes(orders, ports.tcp, 'SSH-2.0-x\r\n')).to.equal('');
    expect(await settledDecisions(sidecar)).to.equal(decided + 1);
    const bytes = 'GET /line HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
    expect(await sendBytes(orders, ports.tcpPermitted, bytes)).to.include('200 OK');
  });

  it('asks nobody about those connections without its last part', async () => {
    const [filter] = mesh.own('envoy-filter.yaml');
    const open = await start('filter-open', 22, [withoutConnections(filter)]);
    const decided = await settledDecisions(sidecar);
    const bytes = 'GET /line HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';
    expect(await sendBytes(open, ports.tcp, bytes)).to.include('200 OK');
    expect(await settledDecisions(sidecar)).to.equal(decided);
  });

  it('refuses every request and every connection while the sidecar is away', async () => {
    await sidecar.stop('SIGKILL');
    const arrived = orders.upstream.arrivals.length;
    expect((await ask(orders, { path: '/orders/7', token })).status).to.equal(503);
    expect(await sendBytes(orders, ports.tcpPermitted, 'GET / HTTP/1.1\r\n\r\n')).to.equal('');
    expect(orders.upstream.arrivals.length).to.equal(arrived);
    sidecar = await mesh.startCountersign(`unix://${mesh.socket}`, settings);
    await permits(orders, token);
  });
});
