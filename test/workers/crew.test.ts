import { fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { type Crew, startCrew } from '../../src/workers/crew.js';

/** A worker that answers as long as there is no file `hang` beside it, and ends when it is told. */
const script = `
import { existsSync } from 'node:fs';
process.on('message', (message) => {
  if (message.kind === 'stop') process.disconnect();
  if (message.kind === 'question' && !existsSync(new URL('hang', import.meta.url))) {
    process.send({ kind: 'answer', id: message.id, answer: { isReady: true, text: 'ready' } });
  }
});
process.send({ kind: 'here' });
process.send({ kind: 'serving', isServing: true });
`;

describe('a crew', () => {
  let folder: string;
  let crew: Crew;
  let lost: string[];
  beforeEach(async function () {
    this.timeout(60_000);
    folder = mkdtempSync(join(tmpdir(), 'countersign-crew-'));
    writeFileSync(join(folder, 'worker.mjs'), script);
    lost = [];
    crew = startCrew({
      size: 1,
      fork: () => fork(join(folder, 'worker.mjs'), { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] }),
      nonceSecret: '',
      spend: () => 'unavailable',
      line: () => {},
      lost: (worker, how) => lost.push(`${worker} ${how}`),
      pulseMs: 100,
      monotonicMs: () => performance.now(),
    });
    await crew.allServing();
  });
  afterEach(async () => {
    await crew.stop(1_000);
    rmSync(folder, { recursive: true });
  });

  it('ends a worker that hangs, and starts another one in its place', async function () {
    this.timeout(60_000);
    expect([...(await crew.ask({ about: 'ready' })).keys()]).to.deep.equal([1]);
    writeFileSync(join(folder, 'hang'), '');
    await until(async () => lost.length > 0, 'it hangs on');
    rmSync(join(folder, 'hang'));
    await until(
      async () => (await crew.ask({ about: 'ready' })).size === 1,
      'there is no other one',
    );
    expect(lost).to.deep.equal(['1 SIGKILL']);
  });
});
