import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';

interface Component {
  readonly type: string;
  readonly group?: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
}

const dockerfile = readFileSync('Dockerfile', 'utf8');

describe('what goes into the image', () => {
  it('is built on a base that is named by its digest', () => {
    expect(dockerfile).to.match(/^ARG NODE_IMAGE=node:\d+[a-z.-]*@sha256:[0-9a-f]{64}$/m);
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base);
    expect(bases.join(' ')).to.match(/^\$\{NODE_IMAGE\} scratch$/);
  });

  it('is listed in an SBOM: every production package of the lock file, and no other', function () {
    this.timeout(60_000);
    const folder = mkdtempSync(join(tmpdir(), 'countersign-sbom-test-'));
    const file = join(folder, 'sbom.json');
    execFileSync(process.execPath, ['scripts/sbom.mjs', file]);
    const sbom: { bomFormat: string; components: Component[] } = JSON.parse(
      readFileSync(file, 'utf8'),
    );
    rmSync(folder, { recursive: true });
    expect(sbom.bomFormat).to.equal('CycloneDX');
    const listed = sbom.components
      .filter(({ type }) => type !== 'platform')
      .map(({ group = '', name, version }) => `${group}${group && '/'}${name}@${version}`);
    const lock: { packages: Record<string, { version: string; dev?: boolean }> } = JSON.parse(
      readFileSync('package-lock.json', 'utf8'),
    );
    const locked = Object.entries(lock.packages)
      .filter(([path, { dev }]) => path !== '' && dev !== true)
      .map(([path, { version }]) => `${path.split('node_modules/').at(-1)}@${version}`);
    expect(listed.sort()).to.deep.equal(locked.sort());
  });
});
