import { join } from 'node:path';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import type { Kubectl, Manifest } from '../kubectl.js';
import { eventually, startProgram } from '../program.js';
import { toolPath } from '../tools.js';
import {
  answers,
  container,
  containersOf,
  endpointsOf,
  exampleFor,
  get,
  node,
  type Pod,
  podsOf,
  rolledOut,
  startInjection,
  statusesWhile,
} from './cluster-of-pods.js';
import type { Node } from './node.js';

/** A client in the cluster, with a token of its own for the audience that the example asks for. */
function client(name: string): readonly Manifest[] {
  const namespace = 'default';
  const token = { serviceAccountToken: { path: 'token', audience: 'orders' } };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace },
      spec: {
        serviceAccountName: name,
        containers: [
          {
            name: 'client',
            image: 'orders:local',
            volumeMounts: [{ name: 'token', mountPath: '/run/token' }],
          },
        ],
        volumes: [{ name: 'token', projected: { sources: [token] } }],
      },
    },
  ];
}

async function sendFrom(kubectl: Kubectl, name: string, url: string, tokenFile: string) {
  const program = ['/usr/bin/node', '/app/application.mjs', 'send', url];
  const args = tokenFile === '' ? program : [...program, tokenFile];
  const said: { status: number; body: string } = JSON.parse(
    await kubectl.must(['exec', name, '--', ...args]),
  );
  return said;
}

const secondsOf = (text: string | undefined) => Date.parse(text ?? '') / 1000;

describe('k8s/example in real pods', () => {
  let cluster: Node;
  let kubectl: Kubectl;
  let example: string;
  let token: string;
  const pods = () => podsOf(kubectl, 'default', 'orders');
  const first = async (): Promise<Pod> => {
    const [pod] = (await pods()).filter(({ status }) => status.phase === 'Running');
    if (pod === undefined) throw new Error('no pod runs');
    return pod;
  };
  const ipOf = ({ status }: Pod) => status.podIP ?? '';

  before(async function () {
    this.timeout(420_000);
    cluster = await node();
    kubectl = cluster.controlPlane.kubectl;
    example = await exampleFor(cluster);
    await kubectl.must(['apply', '-k', join(example, 'example')]);
    await kubectl.apply([...client('planner'), ...client('stranger')]);
    await rolledOut(kubectl, 'default', 'orders');
    await kubectl.must([
      'wait',
      'pod/planner',
      'pod/stranger',
      '--for=condition=Ready',
      '--timeout=60s',
    ]);
    token = (await kubectl.must(['create', 'token', 'planner', '--audience', 'orders'])).trim();
  });

  it('starts the sidecar before Envoy and the application, and counts it as ready', async () => {
    const pod = await first();
    const startOf = (name: string) => secondsOf(container(pod, name).state.running?.startedAt);
    expect(startOf('countersign')).to.be.at.most(startOf('envoy'));
    expect(startOf('countersign')).to.be.at.most(startOf('app'));
    expect(containersOf(pod).map(({ ready }) => ready)).to.deep.equal([true, true, true]);
  });

  it('decides by the tokens of the cluster itself', async () => {
    const url = `http://${ipOf(await first())}:8080/orders/7`;
    const permitted = await sendFrom(kubectl, 'planner', url, '/run/token/token');
    expect(permitted.status).to.equal(200);
    expect(permitted.body).to.include(
      '"x-countersign-principal":"cluster:system:serviceaccount:default:planner"',
    );
    const other = await sendFrom(kubectl, 'stranger', url, '/run/token/token');
    expect(other.status).to.equal(403);
    expect(other.body).to.include('principal_not_allowed');
    expect((await sendFrom(kubectl, 'planner', url, '')).status).to.equal(401);
    // The token that every pod has is for the API server, and good for a year.
    const wrong = '/var/run/secrets/kubernetes.io/serviceaccount/token';
    expect((await sendFrom(kubectl, 'planner', url, wrong)).status).to.equal(401);
  });

  it('takes a changed policy over without a restart', async function () {
    this.timeout(120_000);
    const pod = await first();
    await answers(ipOf(pod), '/invoices/7', token, 403);
    const change = (path: string) =>
      kubectl.must(['get', 'configmap', 'countersign-policies', '-o', 'json']).then((text) => {
        const { metadata, data, ...rest }: Manifest & { data: Record<string, string> } =
          JSON.parse(text);
        const changed = {
          'orders.yaml': (data['orders.yaml'] ?? '').replace(/"\/\w+\/\*\*"/, `"${path}"`),
        };
        const { name } = metadata;
        return kubectl.apply([
          { ...rest, metadata: { name, namespace: 'default' }, data: changed },
        ]);
      });
    await change('/invoices/**');
    await answers(ipOf(pod), '/invoices/7', token, 200);
    await answers(ipOf(pod), '/orders/7', token, 403);
    await change('/orders/**');
    await answers(ipOf(pod), '/orders/7', token, 200);
    expect(containersOf(await first()).map(({ restartCount }) => restartCount)).to.deep.equal([
      0, 0, 0,
    ]);
  });

  it('lets nothing through while a crashed sidecar restarts, and goes on', async function () {
    this.timeout(120_000);
    const pod = await first();
    const ip = ipOf(pod);
    const crashed = async () => {
      await cluster.crash(container(pod, 'countersign').containerID ?? '');
      await eventually(
        async () => {
          const again = (await pods()).find(({ metadata }) => metadata.name === pod.metadata.name);
          if (again === undefined) return undefined;
          const { restartCount, ready } = container(again, 'countersign');
          return restartCount === 1 && ready ? true : undefined;
        },
        () => 'the sidecar is not restarted',
        60_000,
      );
      await answers(ip, '/orders/7', token, 200);
    };
    const refused = await statusesWhile(crashed, () => ip, '/orders/7');
    expect([...refused.keys()].filter((status) => status !== 401 && status !== 503)).to.deep.equal(
      [],
    );
    expect(refused.get(401)).to.be.greaterThan(0);
    const after = (await pods()).find(({ metadata }) => metadata.name === pod.metadata.name);
    if (after === undefined) throw new Error('the pod is gone');
    expect(container(after, 'envoy').restartCount).to.equal(0);
    expect(container(after, 'app').restartCount).to.equal(0);
  });

  it('is rolled out under load without a failed request', async function () {
    this.timeout(240_000);
    let addresses = await endpointsOf(kubectl, 'default', 'orders');
    let isOver = false;
    const follow = (async () => {
      while (!isOver) {
        addresses = await endpointsOf(kubectl, 'default', 'orders');
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    })();
    let turn = 0;
    const next = () => {
      turn += 1;
      return addresses[turn % addresses.length];
    };
    const before = (await pods()).map(({ metadata }) => metadata.name);
    const roll = async () => {
      await kubectl.must(['rollout', 'restart', 'deployment/orders']);
      await rolledOut(kubectl, 'default', 'orders');
      await eventually(
        async () => {
          const names = (await pods()).map(({ metadata }) => metadata.name);
          return names.some((name) => before.includes(name)) ? undefined : true;
        },
        () => 'the old pods do not end',
        60_000,
      );
    };
    const statuses = await statusesWhile(roll, next, '/orders/7', token);
    isOver = true;
    await follow;
    expect([...statuses.keys()]).to.deep.equal([200]);
    expect(statuses.get(200)).to.be.greaterThan(100);
  });

  it('ends the sidecar after Envoy and the application', async function () {
    this.timeout(90_000);
    const pod = await first();
    const { folder, kubeconfig } = cluster.controlPlane;
    const watch = startProgram(folder, 'watch', toolPath('kubectl'), {
      args: [
        ...['--kubeconfig', kubeconfig('admin'), 'get', 'pod', pod.metadata.name],
        ...['--watch', '--output', 'json'],
      ],
    });
    await kubectl.must(['delete', 'pod', pod.metadata.name, '--timeout=60s']);
    await watch.stop();
    // One object after the other, each ends with a brace at the beginning of a line.
    const last = watch.output().trim().split('\n}\n').at(-1) ?? '';
    const ended: Pod = JSON.parse(`${last.replace(/\n}$/, '')}\n}`);
    const endOf = (name: string) => secondsOf(container(ended, name).state.terminated?.finishedAt);
    expect(endOf('countersign')).to.be.at.least(endOf('envoy'));
    expect(endOf('countersign')).to.be.at.least(endOf('app'));
  });

  it('starts nothing else while its policy cannot be loaded', async function () {
    this.timeout(120_000);
    const namespace = 'broken';
    await kubectl.must(['create', 'namespace', namespace]);
    await kubectl.must(['apply', '-n', namespace, '-k', join(example, 'example')]);
    const policies = (text: string): Manifest => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'countersign-policies', namespace },
      data: { 'orders.yaml': text },
    });
    await kubectl.apply([policies('version: 1\npolicy: orders\nrules: [ { id: x } ]\n')]);
    await kubectl.must(['rollout', 'restart', '-n', namespace, 'deployment/orders']);
    const stuck = await eventually(
      async () => {
        const found = await podsOf(kubectl, namespace, 'orders');
        return found.find((pod) =>
          (pod.status.initContainerStatuses ?? []).some(
            ({ state, started }) => state.running !== undefined && started === false,
          ),
        );
      },
      () => 'no sidecar waits for a policy',
      60_000,
    );
    const others = (stuck.status.containerStatuses ?? []).map(({ state }) => state.waiting?.reason);
    expect(others).to.deep.equal(['PodInitializing', 'PodInitializing']);
    await kubectl.must(['delete', 'namespace', namespace, '--wait=false']);
  });
});

describe('injection by label in real pods', () => {
  const namespace = 'injected';
  let cluster: Node;
  let kubectl: Kubectl;

  before(async function () {
    this.timeout(420_000);
    cluster = await node();
    kubectl = cluster.controlPlane.kubectl;
    const example = await exampleFor(cluster);
    await kubectl.must(['create', 'namespace', namespace]);
    await startInjection(kubectl);
    // The configuration is the example's; the Deployment is the bare one of the base.
    const manifests = await kubectl.kustomize(join(example, 'example'));
    const settings = manifests.filter(({ kind }) => kind === 'ConfigMap');
    await kubectl.apply(settings, ['-n', namespace]);
    await kubectl.must(['apply', '-n', namespace, '-k', join(example, 'base')]);
    const labels = { 'countersign/inject': 'true' };
    const patch = { spec: { replicas: 1, template: { metadata: { labels } } } };
    await kubectl.must([
      'patch',
      '-n',
      namespace,
      'deployment/orders',
      '-p',
      JSON.stringify(patch),
    ]);
    await rolledOut(kubectl, namespace, 'orders');
  });

  it('runs the sidecar, and it decides', async () => {
    const [pod] = (await podsOf(kubectl, namespace, 'orders')).filter(
      ({ status }) => status.initContainerStatuses !== undefined,
    );
    if (pod === undefined) throw new Error('no pod was injected');
    expect(container(pod, 'countersign').ready).to.equal(true);
    const ip = pod.status.podIP ?? '';
    const token = await kubectl.must(['create', 'token', 'planner', '--audience', 'orders']);
    expect((await get(ip, '/orders/7', token.trim())).status).to.equal(200);
    expect((await get(ip, '/orders/7')).status).to.equal(401);
  });
});
