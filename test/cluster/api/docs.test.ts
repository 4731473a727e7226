import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { root } from '../../../envoy/find-envoy.js';
import { cluster } from '../cluster.js';
import { installCrds } from '../crds.js';
import { manifestsOf, podTemplate } from '../kubectl.js';

const namespace = 'docs';
const pages = ['docs/kubernetes.md', 'docs/istio.md', 'docs/istio-ambient.md'];
const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

/** The objects that a page shows, each block a stream of them. */
function blocksOf(page: string): readonly string[] {
  return [...textOf(page).matchAll(/```yaml\n([\s\S]*?)```/g)]
    .map(([, text = '']) => text)
    .filter((text) => text.includes('apiVersion:'));
}

describe('the pages on Kubernetes and Istio', () => {
  before(async function () {
    this.timeout(120_000);
    await cluster().addNamespace(namespace);
    await cluster().kubectl.apply([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'planner', namespace } },
    ]);
    await installCrds(cluster().kubectl);
  });

  for (const page of pages) {
    it(`show objects that the API server takes: ${page}`, async () => {
      const objects = blocksOf(page)
        .flatMap(manifestsOf)
        .filter(({ kind }) => kind !== 'Kustomization');
      const said =
        objects.length === 0
          ? ''
          : await cluster().kubectl.apply(objects, ['--dry-run=server', '-n', namespace]);
      expect(said.split('\n').filter(Boolean)).to.have.lengthOf(objects.length);
    });

    it(`name only files that are there: ${page}`, () => {
      const named = [...textOf(page).matchAll(/(?:-k|-f|`)\s?(k8s\/[a-z0-9./-]+)/g)];
      const missing = named
        .map(([, path = '']) => path)
        .filter((path) => !existsSync(join(root, path)));
      expect(missing).to.deep.equal([]);
    });
  }

  it('show a kustomization that attaches the sidecar, with an image of the reader', async () => {
    const { folder, kubectl } = cluster();
    const copy = mkdtempSync(join(folder, 'docs-'));
    cpSync(join(root, 'k8s'), copy, { recursive: true });
    const mine = join(copy, 'mine');
    mkdirSync(mine);
    for (const name of ['countersign.yaml', 'policies']) {
      renameSync(join(copy, 'example', name), join(mine, name));
    }
    renameSync(join(copy, 'base', 'orders.yaml'), join(mine, 'deployment.yaml'));
    const [text = ''] = blocksOf('docs/kubernetes.md').filter((block) =>
      block.includes('kind: Kustomization'),
    );
    writeFileSync(join(mine, 'kustomization.yaml'), text);
    const manifests = await kubectl.kustomize(mine);
    await kubectl.apply(manifests, ['--dry-run=server', '-n', namespace]);
    const { spec } = podTemplate<{ initContainers: readonly { image: string }[] }>(manifests);
    expect(spec.initContainers.map(({ image }) => image)).to.deep.equal([
      'registry.example/countersign:0.1.0',
    ]);
  });
});
