import { renameSync } from 'node:fs';
import { createCases } from '../examples/quickstart/cases.js';
import { connectDirectly } from '../examples/quickstart/direct.js';
import { startSidecar } from '../examples/quickstart/sidecar.js';
import { createWorkplace } from '../examples/quickstart/workplace.js';

/**
 * `npm run bench:revocation`: from the moment a revocations file is in place to the first deny, while
 * 32 calls with a token that was verified long before are always under way. A permit to a call that
 * began after the first deny voids the run.
 */
const rounds = 20;
const concurrency = 32;

const workplace = await createWorkplace();
const cases = await createCases(workplace);
const reads = cases
  .flatMap(({ steps }) => steps.map(({ call }) => call))
  .find(({ path }) => path === '/tenants/acme/customers/c-17');
if (reads === undefined) throw new Error('the case of the customer is gone');
const sidecar = await startSidecar(workplace.configFile, workplace.ports.admin);
const client = connectDirectly(workplace);

/** Puts a whole file into place at once, as an operator's tool would. */
function replaceRevocations(text: string): number {
  workplace.write('data/revocations.next', text);
  renameSync(
    workplace.path('data', 'revocations.next'),
    workplace.path('data', 'revocations.yaml'),
  );
  return performance.now();
}

/** Calls until an answer has this status; gives the time of the first such answer. */
async function untilStatus(
  wanted: number,
): Promise<{ readonly firstAt: number; readonly calls: number }> {
  let firstAt: number | undefined;
  let calls = 0;
  const loop = async () => {
    while (firstAt === undefined) {
      await client.send(reads ?? { method: 'GET', path: '/' }).then(({ status }) => {
        calls += 1;
        if (status === wanted) firstAt ??= performance.now();
      });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return { firstAt: firstAt ?? Number.NaN, calls };
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

try {
  const took: number[] = [];
  let calls = 0;
  for (let round = 0; round < rounds; round += 1) {
    replaceRevocations('version: 1\n');
    await untilStatus(200);
    const revokedAt = replaceRevocations('version: 1\nidentities: ["corp:agent-7"]\n');
    const seen = await untilStatus(403);
    took.push(seen.firstAt - revokedAt);
    calls += seen.calls;
    const after = await Promise.all(Array.from({ length: concurrency }, () => client.send(reads)));
    if (after.some(({ status }) => status === 200)) {
      throw new Error('a permit after the first deny: the run is void');
    }
  }
  process.stdout.write(
    `from the file in place to the first deny, ${rounds} rounds, ${calls} calls meanwhile: ` +
      `median ${Math.round(median(took))} ms, longest ${Math.round(Math.max(...took))} ms\n`,
  );
} finally {
  client.close();
  await sidecar.stop();
  workplace.remove();
}
