import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { root, withoutEnvoy } from '../../envoy/find-envoy.js';

interface Run {
  readonly code: number;
  readonly out: string;
}

function quickStart(environment: Readonly<Record<string, string>>): Promise<Run> {
  const script = join(root, 'build', 'examples', 'quickstart', 'run.js');
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...environment } };
    execFile(process.execPath, [script, '--once'], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : 1, out: stdout + stderr }),
    );
  });
}

describe('the quick start', () => {
  it('plays the five cases straight to Countersign where there is no Envoy', async function () {
    this.timeout(60_000);
    const { code, out } = await quickStart({ COUNTERSIGN_WITHOUT_ENVOY: '1' });
    expect(out)
      .to.match(/No Envoy to be had/)
      .and.match(/14 of 14 requests went as stated/);
    expect(code).to.equal(0);
  });

  (withoutEnvoy ? it.skip : it)(
    'plays them through a real Envoy, and leaves nothing behind',
    async function () {
      this.timeout(60_000);
      const folder = mkdtempSync(join(tmpdir(), 'countersign-left-'));
      const { code, out } = await quickStart({ TMPDIR: folder });
      expect(out)
        .to.match(/^Envoy from /)
        .and.match(/14 of 14 requests went as stated/);
      expect(out).to.not.match(/eyJ|BEGIN/);
      expect(code).to.equal(0);
      const own = readdirSync(folder).filter((name) => name.startsWith('countersign-'));
      expect(own).to.deep.equal([]);
      rmSync(folder, { recursive: true });
    },
  );
});
