import { connect } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { root } from '../../../envoy/find-envoy.js';
import { installCrds } from '../crds.js';
import { type Istiod, ownProvider, startIstiod } from '../istio/istiod.js';
import { type Kubectl, type Manifest, manifestsOf } from '../kubectl.js';
import { eventually } from '../program.js';
import { nodeIp } from './clean-node.js';
import { container, node, patience, podsOf, rolledOut, startInjection } from './cluster-of-pods.js';
import { istioProxyImage } from './images.js';

const namespace = 'mesh';
const k8s = join(root, 'k8s');
const serviceIp = '10.96.0.50';
const proxyImage = 'istio/proxyv2:local';

const fromField = (name: string, fieldPath: string) => ({
  name,
  valueFrom: { fieldRef: { fieldPath } },
});

/** The containers and volumes that Istio's injector adds, as its template has them. */
const istioContainers = [
  {
    name: 'istio-init',
    image: proxyImage,
    args: [
      ...['istio-iptables', '-p', '15001', '-z', '15006', '-u', '1337', '-m', 'REDIRECT'],
      ...['-i', '*', '-x', '', '-b', '*', '-d', '15090,15021,15020,9192'],
    ],
    securityContext: {
      runAsUser: 0,
      runAsNonRoot: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'] },
    },
  },
  {
    name: 'istio-proxy',
    image: proxyImage,
    restartPolicy: 'Always',
    args: ['proxy', 'sidecar', '--domain', `${namespace}.svc.cluster.local`],
    env: [
      { name: 'PILOT_CERT_PROVIDER', value: 'istiod' },
      { name: 'CA_ADDR', value: 'istiod.istio-system.svc:15012' },
      fromField('POD_NAME', 'metadata.name'),
      fromField('POD_NAMESPACE', 'metadata.namespace'),
      fromField('INSTANCE_IP', 'status.podIP'),
      fromField('SERVICE_ACCOUNT', 'spec.serviceAccountName'),
      { name: 'PROXY_CONFIG', value: '{"discoveryAddress":"istiod.istio-system.svc:15012"}' },
      { name: 'ISTIO_META_CLUSTER_ID', value: 'Kubernetes' },
      { name: 'ISTIO_META_INTERCEPTION_MODE', value: 'REDIRECT' },
    ],
    startupProbe: {
      httpGet: { path: '/healthz/ready', port: 15021 },
      periodSeconds: 1,
      failureThreshold: 60,
    },
    securityContext: { runAsUser: 1337, runAsGroup: 1337, runAsNonRoot: true },
    volumeMounts: [
      { name: 'istio-token', mountPath: '/var/run/secrets/tokens' },
      { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio' },
      { name: 'istio-podinfo', mountPath: '/etc/istio/pod' },
      { name: 'istio-envoy', mountPath: '/etc/istio/proxy' },
      { name: 'workload-socket', mountPath: '/var/run/secrets/workload-spiffe-uds' },
      { name: 'credential-socket', mountPath: '/var/run/secrets/credential-uds' },
      { name: 'workload-certs', mountPath: '/var/run/secrets/workload-spiffe-credentials' },
    ],
  },
];

const istioToken = { path: 'istio-token', audience: 'istio-ca', expirationSeconds: 43200 };
const istioVolumes = [
  { name: 'istio-token', projected: { sources: [{ serviceAccountToken: istioToken }] } },
  { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
  {
    name: 'istio-podinfo',
    downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] },
  },
  { name: 'istio-envoy', emptyDir: { medium: 'Memory' } },
  ...['workload-socket', 'credential-socket', 'workload-certs'].map((name) => ({
    name,
    emptyDir: {},
  })),
];

/** A Deployment of the mesh, with an identity of its own. */
function workload(name: string, labels: Readonly<Record<string, string>>): readonly Manifest[] {
  const all = { app: name, 'security.istio.io/tlsMode': 'istio', ...labels };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: {
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: all },
          spec: {
            serviceAccountName: name,
            hostAliases: [
              { ip: nodeIp, hostnames: ['istiod.istio-system.svc'] },
              { ip: serviceIp, hostnames: ['orders.mesh.svc.cluster.local'] },
            ],
            securityContext: { fsGroup: 1337 },
            initContainers: istioContainers,
            containers: [
              {
                name: 'app',
                image: 'orders:local',
                env: [{ name: 'LISTEN', value: '0.0.0.0:8081 0.0.0.0:7777' }],
                ports: [{ containerPort: 8081 }],
              },
            ],
            volumes: istioVolumes,
          },
        },
      },
    },
  ];
}

const service: Manifest = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'orders', namespace },
  spec: {
    selector: { app: 'orders' },
    clusterIP: serviceIp,
    ports: [{ name: 'http', port: 80, targetPort: 8081 }],
  },
};

/** k8s/istio for this namespace. */
async function settings(kubectl: Kubectl): Promise<readonly Manifest[]> {
  const text = await kubectl.must(['kustomize', join(k8s, 'istio')]);
  const own = text
    .replaceAll('/ns/default/', `/ns/${namespace}/`)
    .replace('version: 1\n', `version: 1\n    deadline: ${patience.deadline}\n`);
  return manifestsOf(own).map((manifest) => ({
    ...manifest,
    metadata: { ...manifest.metadata, namespace: manifest.metadata.namespace ?? namespace },
  }));
}

function sendBytes(ip: string, port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = '';
    const socket = connect(port, ip, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      heard += String(chunk);
    });
    socket.once('close', () => resolve(heard));
    socket.once('error', () => resolve(heard));
    socket.setTimeout(10_000, () => reject(new Error('neither an answer nor an end')));
  });
}

describe('a mesh of real pods, with the certificates of a real istiod', () => {
  let kubectl: Kubectl;
  let istiod: Istiod;

  const send = async (from: string, path: string) => {
    const url = `http://orders.mesh.svc.cluster.local${path}`;
    const program = ['/usr/bin/node', '/app/application.mjs', 'send', url];
    const said = await kubectl.must([
      ...['exec', '-n', namespace, `deployment/${from}`, '-c', 'app', '--', ...program],
    ]);
    const answer: { status: number; body: string } = JSON.parse(said);
    return answer;
  };
  const orders = async () => {
    const [pod] = await podsOf(kubectl, namespace, 'orders');
    if (pod === undefined) throw new Error('no pod of orders');
    return pod;
  };
  const log = () =>
    kubectl.must(['logs', '-n', namespace, 'deployment/orders', '-c', 'countersign', '--tail=500']);

  before(async function () {
    this.timeout(420_000);
    const cluster = await node();
    kubectl = cluster.controlPlane.kubectl;
    await installCrds(kubectl);
    await cluster.load(istioProxyImage);
    for (const name of [namespace, 'istio-system'])
      await kubectl.must(['create', 'namespace', name]);
    const { envoyExtAuthzGrpc: grpc, ...own } = ownProvider();
    istiod = await startIstiod(cluster.controlPlane, 'istiod-pods', {
      providers: [{ ...own, envoyExtAuthzGrpc: { ...grpc, timeout: patience.timeout } }],
      mesh: { enableAutoMtls: true },
      secureAddress: `${nodeIp}:15012`,
    });
    await startInjection(kubectl);
    await kubectl.apply([...(await settings(kubectl)), service]);
    await eventually(
      async () => {
        const { code } = await kubectl.run([
          'get',
          'configmap',
          '-n',
          namespace,
          'istio-ca-root-cert',
        ]);
        return code === 0 ? true : undefined;
      },
      () => 'istiod does not publish its root',
    );
    await kubectl.apply([
      ...workload('orders', { 'countersign/inject': 'true' }),
      ...workload('planner', {}),
      ...workload('stranger', {}),
    ]);
    for (const name of ['orders', 'planner', 'stranger']) await rolledOut(kubectl, namespace, name);
  });
  after(() => istiod.program.stop());

  it('starts Countersign before Istio captures the traffic', async () => {
    const { initContainerStatuses = [] } = (await orders()).status;
    expect(initContainerStatuses.map(({ name }) => name)).to.deep.equal([
      'countersign',
      'istio-init',
      'istio-proxy',
    ]);
    expect(container(await orders(), 'countersign').ready).to.equal(true);
  });

  it('permits by the identity that istiod gave the caller', async function () {
    this.timeout(90_000);
    const permitted = await eventually(
      async () => {
        const answer = await send('planner', '/orders/7');
        return answer.status === 200 ? answer : undefined;
      },
      () => 'the planner is not permitted',
    );
    expect(permitted.body).to.include(
      `"x-countersign-principal":"spiffe://cluster.local/ns/${namespace}/sa/planner"`,
    );
  });

  it('denies another identity of the mesh, and another path', async () => {
    const other = await send('stranger', '/orders/7');
    expect(other.status).to.equal(403);
    expect(other.body).to.include('principal_not_allowed');
    expect((await send('planner', '/invoices/7')).body).to.include('no_rule');
  });

  it('denies a caller outside of the mesh, which has no certificate', async () => {
    const { podIP } = (await orders()).status;
    const answer = await fetch(`http://${podIP}:8081/orders/7`);
    expect(answer.status).to.equal(401);
    expect(await answer.text()).to.include('credential_missing');
  });

  it('denies a connection that speaks no HTTP, to a port that no Service names', async () => {
    const { podIP = '' } = (await orders()).status;
    const decided = async () => (await log()).split('"msg":"decision"').length;
    const before = await decided();
    expect(await sendBytes(podIP, 7777, 'SSH-2.0-x\r\n')).to.equal('');
    await eventually(
      async () => ((await decided()) > before ? true : undefined),
      () => 'no decision is logged',
    );
    expect((await log()).trim().split('\n').at(-1)).to.include('"code":"no_rule"');
  });
});
