import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { createCheck } from '../../src/check.js';
import { Loader } from '../../src/load/loader.js';
import { readHere } from '../../src/load/reader.js';
import { createRevisions, outcomeOf, probeBytes, swap, swapScript } from '../support/revisions.js';

describe('loading files that are swapped meanwhile', () => {
  let folder: string;
  let swapper: ChildProcess | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-reload-'));
  });
  afterEach(() => {
    swapper?.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  const start = async () => {
    const revisions = await createRevisions(folder, 'deadline: 10s');
    const loader = new Loader({
      configFile: revisions.configFile,
      environment: {},
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      reader: readHere(),
    });
    await loader.load();
    const check = createCheck({
      snapshot: () => loader.snapshot,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      newDecisionId: randomUUID,
      record: () => {},
    });
    return {
      ...revisions,
      loader,
      ask: async (probe: (typeof revisions.probes)[number]) =>
        outcomeOf(await check(probeBytes(probe))),
    };
  };

  it('gives the answers of one revision and then of the other', async () => {
    const { probes, mount, loader, ask } = await start();
    const answers = () => Promise.all(probes.map(ask));
    expect(await answers()).to.deep.equal(probes.map(({ allowed }) => allowed[0]));
    swap(mount, 'b');
    await loader.load();
    expect(await answers()).to.deep.equal(probes.map(({ allowed }) => allowed[1]));
  });

  it('never decides by a mixture, however the files are swapped while they are read (row 122)', async function () {
    this.timeout(60_000);
    const { probes, mount, loader, ask } = await start();
    swapper = spawn(process.execPath, ['-e', swapScript, mount, '10'], { stdio: 'inherit' });
    const seen = probes.map(() => new Set<string>());
    let checks = 0;
    const flow = async () => {
      while (checks < 2_000) {
        checks += probes.length;
        const outcomes = await Promise.all(probes.map(ask));
        for (const [at, outcome] of outcomes.entries()) seen[at]?.add(outcome);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const reloading = setInterval(() => void loader.load(), 15);
    await Promise.all([flow(), flow(), flow(), flow()]);
    clearInterval(reloading);
    const strangers = probes.flatMap(({ name, allowed }, at) =>
      [...(seen[at] ?? [])]
        .filter((outcome) => !allowed.includes(outcome))
        .map((outcome) => `${name}: ${outcome}`),
    );
    expect(strangers).to.deep.equal([]);
    expect(seen.map((outcomes) => [...outcomes].sort())).to.deep.equal(
      probes.map(({ allowed }) => [...allowed].sort()),
    );
  });
});
