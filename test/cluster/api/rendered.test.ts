import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { cluster } from '../cluster.js';
import { installCrds } from '../crds.js';
import type { Manifest } from '../kubectl.js';
import { printed } from '../rendered.js';

const namespace = 'rendered';
const config = ['-c', 'k8s/example/countersign.yaml', '--namespace', namespace];

interface Pod {
  readonly initContainers: readonly { readonly name: string }[];
}

const pod = { containers: [{ name: 'envoy', image: 'envoy:local' }] };
const metadata = { name: 'orders', namespace };
const labels = { app: 'orders' };
const template = { metadata: { labels }, spec: pod };
const job = { template: { spec: { ...pod, restartPolicy: 'Never' } } };
const selected = { selector: { matchLabels: labels }, template };
const kinds: readonly Manifest[] = [
  { apiVersion: 'v1', kind: 'Pod', metadata, spec: pod },
  { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: selected },
  { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: selected },
  {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata,
    spec: { ...selected, serviceName: 'orders' },
  },
  { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: job },
  {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata,
    spec: { schedule: '0 3 * * *', jobTemplate: { spec: job } },
  },
];

describe('what render and inject print', () => {
  before(async function () {
    this.timeout(120_000);
    await cluster().addNamespace(namespace);
    await installCrds(cluster().kubectl);
  });

  for (const target of ['istio', 'envoyfilter']) {
    it(`is taken by the API server: render ${target}`, async () => {
      const file = join(mkdtempSync(join(cluster().folder, 'render-')), 'countersign.yaml');
      const text = readFileSync('envoy/countersign/tcp.yaml', 'utf8');
      const policy = join(process.cwd(), 'envoy/countersign/policies/orders.yaml');
      writeFileSync(file, text.replace('policies/orders.yaml', policy));
      const documents = await printed('render', target, '-c', file, '--namespace', namespace);
      const objects = documents.filter(({ kind }) => kind !== undefined);
      await cluster().kubectl.apply(objects, ['--dry-run=server']);
      expect(objects).to.not.deep.equal([]);
    });
  }

  it('patches a Deployment: render kubernetes', async () => {
    const { kubectl } = cluster();
    const documents = await printed('render', 'kubernetes', ...config, '--name', 'orders');
    const maps = documents.filter(({ kind }) => kind === 'ConfigMap');
    await kubectl.apply(maps, ['--dry-run=server']);
    await kubectl.apply(kinds.filter(({ kind }) => kind === 'Deployment'));
    const patch = JSON.stringify(documents.find(({ kind }) => kind === 'Deployment'));
    const given = ['patch', 'deployment', 'orders', '-n', namespace, '--dry-run=server'];
    const out = await kubectl.must([...given, '-o', 'json', '-p', patch]);
    const patched: { spec: { template: { spec: Pod } } } = JSON.parse(out);
    expect(patched.spec.template.spec.initContainers.map(({ name }) => name)).to.deep.equal([
      'countersign',
    ]);
  });

  for (const manifest of kinds) {
    it(`is taken by the API server: inject into a ${manifest.kind}`, async () => {
      const { kubectl, folder } = cluster();
      const file = join(mkdtempSync(join(folder, 'inject-')), 'manifest.yaml');
      writeFileSync(file, JSON.stringify(manifest));
      const injected = await printed('inject', file);
      expect(JSON.stringify(injected)).to.include('"initContainers":[{"name":"countersign"');
      await kubectl.apply(injected, ['--dry-run=server']);
    });
  }
});
