import { type Outcomes, openFlood, quantile } from './flood.js';
import { startMeasured } from './mixed-load.js';

/**
 * `npm run overload [SECONDS] [WORKERS]`: ten times the rate that the sidecar can answer, for a
 * minute, with Envoy's patience (1 s) and circuit breaker (4096). What every call became, the
 * sidecar's memory, and how long after the flood it answers as before.
 */
const seconds = Number(process.argv[2] ?? 60);
const workers = Number(process.argv[3] ?? 1);
const factor = 10;

const write = (text: string) => void process.stdout.write(`${text}\n`);
const tell = ({ counts, answerMs, wrong }: Outcomes) => {
  const total = Object.values(counts).reduce((sum, one) => sum + one, 0);
  for (const [what, count] of Object.entries(counts).sort(([, a], [, b]) => b - a)) {
    write(
      `  ${what.padEnd(28)} ${String(count).padStart(9)}  ${((100 * count) / total).toFixed(2)} %`,
    );
  }
  const [half, most, last] = [0.5, 0.99, 1].map((share) => Math.round(quantile(answerMs, share)));
  write(`  explicit answers after        ${half} ms (half), ${most} ms (99 %), ${last} ms (all)`);
  if (wrong.length > 0)
    throw new Error(`${wrong.length} wrong answers, the run is void: ${wrong[0]}`);
};

const measured = await startMeasured(`workers: ${workers}`);
const flood = await openFlood({ port: measured.workplace.ports.countersign }, measured.questions);
try {
  await flood.loop(64, 2_000);
  const { perSecond, ...before } = await flood.loop(64, 3_000);
  write(`a closed loop of 64: ${Math.round(perSecond)} answers/s`);
  tell(before);
  const memory: number[] = [measured.residentMiB()];
  const watch = setInterval(() => memory.push(measured.residentMiB()), 500);
  write(`\n${factor} times that, ${Math.round(factor * perSecond)}/s, offered for ${seconds} s:`);
  tell(await flood.offer(factor * perSecond, seconds * 1_000));
  clearInterval(watch);
  const endedAt = performance.now();
  const [first = 0] = memory;
  write(
    `  resident memory               ${Math.round(first)} MiB before, ${Math.round(Math.max(...memory))} MiB at most`,
  );
  let calm = await flood.offer(perSecond / 4, 250);
  while (calm.counts['right'] !== Object.values(calm.counts).reduce((sum, one) => sum + one, 0)) {
    calm = await flood.offer(perSecond / 4, 250);
  }
  write(
    `  every answer right again      ${Math.round(performance.now() - endedAt)} ms after the flood`,
  );
  write(`\na quarter of the first rate after it:`);
  tell(await flood.offer(perSecond / 4, 3_000));
} finally {
  flood.close();
  await measured.stop();
}
