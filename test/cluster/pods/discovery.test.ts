import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { root } from '../../../envoy/find-envoy.js';
import { type Kubectl, type Manifest, manifestsOf } from '../kubectl.js';
import { nodeIp } from './clean-node.js';
import { answers, exampleFor, get, node, podsOf, rolledOut } from './cluster-of-pods.js';

const namespace = 'discovery';

interface Deployment extends Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly initContainers: readonly Readonly<Record<string, unknown>>[] };
    };
  };
}

/** The Deployment of the example as docs/kubernetes.md changes it, with a name that needs no DNS. */
function withDiscovery(manifest: Manifest): Manifest {
  if (manifest.kind !== 'Deployment') return manifest;
  const { spec: deployment } = manifest as Deployment;
  const { spec: pod } = deployment.template;
  const authority = '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt';
  const env = [{ name: 'NODE_EXTRA_CA_CERTS', value: authority }];
  const changed = {
    ...pod,
    automountServiceAccountToken: true,
    hostAliases: [{ ip: nodeIp, hostnames: ['kubernetes.default.svc'] }],
    initContainers: pod.initContainers.map((container) => ({ ...container, env })),
  };
  const template = { ...deployment.template, spec: changed };
  return { ...manifest, spec: { ...deployment, replicas: 1, template } };
}

/** The role binding that the page shows. */
function roleBinding(): readonly Manifest[] {
  const page = readFileSync(join(root, 'docs', 'kubernetes.md'), 'utf8');
  const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  return blocks.filter((text) => text.includes('ClusterRoleBinding')).flatMap(manifestsOf);
}

describe('the keys of a real API server, found by discovery', () => {
  let kubectl: Kubectl;

  before(async function () {
    this.timeout(420_000);
    const cluster = await node();
    kubectl = cluster.controlPlane.kubectl;
    const example = join(await exampleFor(cluster), 'example');
    const file = join(example, 'countersign.yaml');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('file: cluster.jwks.json', 'discovery: true'));
    await kubectl.must(['create', 'namespace', namespace]);
    await kubectl.must(['create', 'serviceaccount', '-n', namespace, 'planner']);
    const manifests = (await kubectl.kustomize(example)).map(withDiscovery);
    await kubectl.apply([...roleBinding(), ...manifests], ['-n', namespace]);
    await rolledOut(kubectl, namespace, 'orders');
  });

  it('verify the tokens of its service accounts', async function () {
    this.timeout(120_000);
    const [pod] = await podsOf(kubectl, namespace, 'orders');
    const ip = pod?.status.podIP ?? '';
    const tokenOf = async (account: string, of: string) =>
      (await kubectl.must(['create', 'token', '-n', of, account, '--audience', 'orders'])).trim();
    // The policy of the example names the planner of the namespace `default`.
    await kubectl.run(['create', 'serviceaccount', '-n', 'default', 'planner']);
    await answers(ip, '/orders/7', await tokenOf('planner', 'default'), 200);
    const other = await get(ip, '/orders/7', await tokenOf('planner', namespace));
    expect(other.status).to.equal(403);
    expect(other.body).to.include('principal_not_allowed');
  });
});
