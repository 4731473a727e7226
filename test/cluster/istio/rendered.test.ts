import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Sidecar } from '../../../examples/quickstart/sidecar.js';
import { cluster } from '../cluster.js';
import type { Manifest } from '../kubectl.js';
import { eventually } from '../program.js';
import { printed } from '../rendered.js';
import { type Istiod, type Provider, startIstiod } from './istiod.js';
import { ask, createMesh, decisionsOf, type Mesh, sendBytes, told } from './mesh.js';
import { ports, startWorkload, type Workload } from './workload.js';

/** The configuration that the mesh's one sidecar was started with. */
function configOf({ folder }: Mesh): string {
  const names = readdirSync(folder).filter((name) => /^countersign-\d+\.yaml$/.test(name));
  expect(names).to.have.lengthOf(1);
  return join(folder, names[0] ?? '');
}

for (const target of ['istio', 'envoyfilter']) {
  describe(`what render ${target} prints, pushed by a real istiod to a real Envoy`, () => {
    const namespace = `rendered-${target}`;
    let mesh: Mesh;
    let istiod: Istiod;
    let sidecar: Sidecar;
    let token: string;
    let orders: Workload;
    let objects: readonly Manifest[];
    const workloads: Workload[] = [];
    const start = async (name: string, number: number, shown: readonly Manifest[]) => {
      const shows = 'envoy.filters.http.ext_authz';
      const options = { name, number, objects: shown, certificates: mesh.certificates, shows };
      const workload = await startWorkload(cluster(), istiod, options);
      workloads.push(workload);
      return workload;
    };

    before(async function () {
      this.timeout(180_000);
      mesh = await createMesh(namespace);
      await cluster().kubectl.run(['create', 'namespace', 'istio-system']);
      const listen = target === 'istio' ? `127.0.0.1:${mesh.port}` : `unix://${mesh.socket}`;
      sidecar = await mesh.startCountersign(listen);
      token = await mesh.issuer.sign({ sub: 'planner' });
      const options = ['-c', configOf(mesh), '--namespace', namespace, '--selector', 'app=orders'];
      const documents = await printed('render', target, ...options);
      const meshConfig = documents.find((one) => one['extensionProviders'] !== undefined);
      objects = documents.filter((one) => one !== meshConfig);
      const providers = (meshConfig?.['extensionProviders'] ?? []) as Provider[];
      istiod = await startIstiod(cluster(), `istiod-${namespace}`, { providers });
      orders = await start(namespace, target === 'istio' ? 31 : 32, objects);
    });
    after(async () => {
      for (const workload of workloads) await workload.stop();
      await sidecar.stop('SIGKILL');
      await istiod.program.stop();
    });

    it('has requests decided by token and by certificate', async () => {
      const asked = async (request: Parameters<typeof ask>[1]) =>
        told(sidecar, await ask(orders, request));
      expect(await asked({ path: '/orders/7', token })).to.equal('permit by-token');
      expect(await asked({ path: '/orders/7' })).to.equal('deny 401 credential_missing');
      expect(await asked({ path: '/orders/8', as: mesh.planner })).to.equal(
        'permit by-certificate',
      );
      expect(await asked({ path: '/orders/8', as: mesh.stranger })).to.equal(
        'deny 403 principal_not_allowed',
      );
    });

    it('has connections decided that speak no HTTP', async () => {
      const decided = decisionsOf(sidecar);
      expect(await sendBytes(orders, ports.tcp, 'SSH-2.0-x\r\n')).to.equal('');
      await eventually(
        async () => decisionsOf(sidecar) === decided + 1 || undefined,
        () => `${decisionsOf(sidecar) - decided} decisions for one connection`,
      );
    });

    it('refuses every request while the sidecar is away', async () => {
      const arrived = orders.upstream.arrivals.length;
      await sidecar.stop('SIGKILL');
      expect((await ask(orders, { path: '/orders/7', token })).status).to.equal(503);
      expect(orders.upstream.arrivals.length).to.equal(arrived);
    });
  });
}

describe('the ServiceEntry that render istio prints, seen from another namespace', () => {
  it('has every request denied there, where it is not exported', async function () {
    this.timeout(180_000);
    const mesh = await createMesh('rendered-home');
    await cluster().kubectl.run(['create', 'namespace', 'istio-system']);
    await cluster().addNamespace('rendered-home');
    const sidecar = await mesh.startCountersign(`127.0.0.1:${mesh.port}`);
    const options = [
      '-c',
      configOf(mesh),
      '--namespace',
      'rendered-home',
      '--selector',
      'app=orders',
    ];
    const [meshConfig, policy, entry] = await printed('render', 'istio', ...options);
    if (meshConfig === undefined || policy === undefined || entry === undefined) {
      throw new Error('three documents are expected');
    }
    const providers = meshConfig['extensionProviders'] as Provider[];
    const istiod = await startIstiod(cluster(), 'istiod-rendered-home', { providers });
    await cluster().kubectl.apply([entry]);
    const workload = await startWorkload(cluster(), istiod, {
      name: 'rendered-elsewhere',
      number: 33,
      objects: [{ ...policy, metadata: { name: policy.metadata.name } }],
      certificates: mesh.certificates,
      shows: 'envoy.filters.http.ext_authz',
    });
    try {
      const token = await mesh.issuer.sign({ sub: 'planner' });
      const { status } = await ask(workload, { path: '/orders/7', token });
      expect([status, workload.upstream.arrivals.length]).to.deep.equal([503, 0]);
    } finally {
      await workload.stop();
      await sidecar.stop('SIGKILL');
      await istiod.program.stop();
    }
  });
});
