import { createServer } from 'node:net';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Sidecar } from '../../../examples/quickstart/sidecar.js';
import { reserve } from '../../../examples/quickstart/workplace.js';
import { cluster } from '../cluster.js';
import { eventually } from '../program.js';
import { customPolicy, type Istiod, ownProvider, type Provider, startIstiod } from './istiod.js';
import { ask, createMesh, type Mesh, permits, sendBytes, settledDecisions, told } from './mesh.js';
import { ports, startWorkload, type Workload, type WorkloadOptions } from './workload.js';

const extAuthz = 'envoy.filters.http.ext_authz';

describe('the extension provider, pushed by a real istiod to a real Envoy', () => {
  let mesh: Mesh;
  let istiod: Istiod;
  let sidecar: Sidecar;
  let token: string;
  const workloads: Workload[] = [];
  const start = async (options: Omit<WorkloadOptions, 'certificates'>) => {
    const { certificates } = mesh;
    const workload = await startWorkload(cluster(), istiod, { ...options, certificates });
    workloads.push(workload);
    return workload;
  };

  before(async function () {
    this.timeout(180_000);
    mesh = await createMesh('provider');
    const { kubectl } = cluster();
    await kubectl.run(['create', 'namespace', 'istio-system']);
    await kubectl.apply(mesh.own('service-entry.yaml'));
    const own = ownProvider();
    const { envoyExtAuthzGrpc: grpc } = own;
    const { timeout: _, ...untimed } = grpc;
    const named = (name: string, settings: object): Provider => ({
      name,
      envoyExtAuthzGrpc: {
        ...settings,
        service: 'istio-system/countersign.local',
        port: mesh.entryPort,
      },
    });
    istiod = await startIstiod(cluster(), 'istiod-provider', {
      providers: [named('countersign', grpc), named('untimed', untimed)],
    });
    sidecar = await mesh.startCountersign(`127.0.0.1:${mesh.port}`);
    token = await mesh.issuer.sign({ sub: 'planner' });
  });
  after(async () => {
    for (const workload of workloads) await workload.stop();
    await sidecar.stop('SIGKILL');
    await istiod.program.stop();
    await cluster().kubectl.must(
      ['delete', '-f', '-'],
      JSON.stringify(mesh.own('service-entry.yaml')[0]),
    );
  });

  describe('as k8s/istio has it', () => {
    let orders: Workload;
    before(async () => {
      const objects = mesh.own('authorization-policy.yaml');
      orders = await start({ name: 'provider-own', number: 1, objects, shows: extAuthz });
      // The first decisions of a process are its slowest.
      await permits(orders, token);
      orders.upstream.arrivals.length = 0;
    });

    it('has requests decided by Countersign', async () => {
      expect(await told(sidecar, await ask(orders, { path: '/orders/7', token }))).to.equal(
        'permit by-token',
      );
      expect(await told(sidecar, await ask(orders, { path: '/orders/7' }))).to.equal(
        'deny 401 credential_missing',
      );
      expect(await told(sidecar, await ask(orders, { path: '/other', token }))).to.equal(
        'deny 403 no_rule',
      );
      expect(orders.upstream.arrivals.map(({ path }) => path)).to.deep.equal(['/orders/7']);
    });

    it('has them decided by the peer that its certificate names', async () => {
      const { planner, stranger } = mesh;
      expect(await told(sidecar, await ask(orders, { path: '/orders/8', as: planner }))).to.equal(
        'permit by-certificate',
      );
      expect(await told(sidecar, await ask(orders, { path: '/orders/8', as: stranger }))).to.equal(
        'deny 403 principal_not_allowed',
      );
    });

    it('waits one second, fails closed and says 503', async () => {
      const pushed = await orders.pushed();
      expect(pushed).to.include('"timeout": "1s"');
      expect(pushed).to.include('"code": "ServiceUnavailable"');
      expect(pushed).to.not.include('"failure_mode_allow": true');
    });

    it('has connections decided that speak no HTTP', async () => {
      const arrived = orders.upstream.arrivals.length;
      const decided = await settledDecisions(sidecar);
      expect(await sendBytes(orders, ports.tcp, 'SSH-2.0-x\r\n')).to.equal('');
      expect(await settledDecisions(sidecar)).to.equal(decided + 1);
      expect(sidecar.output().stdout.trim().split('\n').at(-1)).to.include('"code":"no_rule"');
      const heard = await sendBytes(
        orders,
        ports.tcpPermitted,
        'GET /line HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
      );
      expect(heard).to.include('200 OK');
      expect(orders.upstream.arrivals.length).to.equal(arrived + 1);
    });

    it('is asked before Istio verifies tokens itself', async () => {
      const jwks = JSON.stringify(mesh.issuer.jwks);
      await cluster().kubectl.apply([
        {
          apiVersion: 'security.istio.io/v1',
          kind: 'RequestAuthentication',
          metadata: { name: 'corp', namespace: 'provider-own' },
          spec: {
            selector: { matchLabels: { app: 'orders' } },
            jwtRules: [{ issuer: 'https://idp.example', jwks, forwardOriginalToken: true }],
          },
        },
      ]);
      const pushed = await eventually(
        async () => {
          const text = await orders.pushed();
          return text.includes('envoy.filters.http.jwt_authn') ? text : undefined;
        },
        () => 'istiod does not push jwt_authn',
      );
      const at = (name: string) => pushed.indexOf(`"name": "${name}"`);
      expect(at(extAuthz)).to.be.lessThan(at('envoy.filters.http.jwt_authn'));
      expect(at(extAuthz)).to.be.greaterThan(0);
    });
  });

  describe('and its traps', () => {
    it('a path outside of `rules` never reaches Countersign', async () => {
      const rules = [{ to: [{ operation: { notPaths: ['/healthz'] } }] }];
      const objects = [customPolicy('countersign', rules)];
      const scoped = await start({ name: 'provider-scoped', number: 2, objects, shows: extAuthz });
      const decided = await settledDecisions(sidecar);
      expect((await ask(scoped, { path: '/healthz' })).status).to.equal(200);
      expect(await settledDecisions(sidecar)).to.equal(decided);
      expect((await ask(scoped, { path: '/orders/1' })).status).to.equal(401);
      // Fields of HTTP do not narrow the policy for connections: all of them are asked about.
      expect(await sendBytes(scoped, ports.tcp, 'x\r\n')).to.equal('');
      expect(await settledDecisions(sidecar)).to.equal(decided + 2);
    });

    it('a `Sidecar` that does not import the provider refuses every request', async () => {
      const hidden = await start({
        name: 'provider-hidden',
        number: 3,
        objects: [customPolicy('countersign')],
        sidecar: { egress: [{ hosts: ['./*'] }] },
        shows: extAuthz,
      });
      const decided = await settledDecisions(sidecar);
      expect((await ask(hidden, { path: '/orders/1', token })).status).to.equal(503);
      expect(hidden.upstream.arrivals).to.deep.equal([]);
      expect(await settledDecisions(sidecar)).to.equal(decided);
      expect(await hidden.pushed()).to.not.include(`"name": "outbound|${mesh.entryPort}||`);
    });

    it('and one that imports it does not', async () => {
      const shown = await start({
        name: 'provider-shown',
        number: 4,
        objects: [customPolicy('countersign')],
        sidecar: { egress: [{ hosts: ['./*', 'istio-system/countersign.local'] }] },
        shows: extAuthz,
      });
      expect(await told(sidecar, await ask(shown, { path: '/orders/1', token }))).to.equal(
        'permit by-token',
      );
    });

    it('a provider that MeshConfig does not define refuses every request, unasked', async () => {
      const unknown = await start({
        name: 'provider-unknown',
        number: 5,
        objects: [customPolicy('countersing')],
        shows: 'bad-CUSTOM-action',
      });
      const decided = await settledDecisions(sidecar);
      expect((await ask(unknown, { path: '/orders/1', token })).status).to.equal(403);
      expect(await sendBytes(unknown, ports.tcp, 'x\r\n')).to.equal('');
      expect(unknown.upstream.arrivals).to.deep.equal([]);
      expect(await settledDecisions(sidecar)).to.equal(decided);
    });

    it('an application that speaks first is heard before anybody is asked', async () => {
      const server = createServer((socket) => socket.end('220 ready\r\n'));
      const [tcpApplication = 0] = await reserve(1);
      await new Promise<void>((resolve) => server.listen(tcpApplication, '127.0.0.1', resolve));
      const objects = [customPolicy('countersign')];
      const banner = {
        name: 'provider-banner',
        number: 7,
        objects,
        shows: extAuthz,
        tcpApplication,
      };
      const decided = await settledDecisions(sidecar);
      const heard = await sendBytes(await start(banner), ports.tcp, '');
      server.close();
      expect(heard).to.equal('220 ready\r\n');
      expect(await settledDecisions(sidecar)).to.equal(decided);
    });

    it('a provider without a timeout is waited for ten minutes', async () => {
      const objects = [customPolicy('untimed')];
      const untimed = await start({
        name: 'provider-untimed',
        number: 6,
        objects,
        shows: extAuthz,
      });
      expect(await untimed.pushed()).to.include('"timeout": "600s"');
    });
  });

  describe('while the sidecar is away', () => {
    it('refuses every request and every connection', async () => {
      const [orders] = workloads;
      if (orders === undefined) throw new Error('the workload of the first tests is gone');
      await sidecar.stop('SIGKILL');
      const arrived = orders.upstream.arrivals.length;
      expect((await ask(orders, { path: '/orders/7', token })).status).to.equal(503);
      expect(await sendBytes(orders, ports.tcpPermitted, 'GET / HTTP/1.1\r\n\r\n')).to.equal('');
      expect(orders.upstream.arrivals.length).to.equal(arrived);
      sidecar = await mesh.startCountersign(`127.0.0.1:${mesh.port}`);
      await permits(orders, token);
    });
  });
});
