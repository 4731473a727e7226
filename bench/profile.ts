import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { arms } from './arms.js';
import { measure, standSidecar } from './rounds.js';
import { pinGenerator } from './servers.js';
import { markdown } from './table.js';
import { createBenchPlace } from './workplace.js';

/**
 * `npm run profile -- --arm 2`: where the time of one answer is, by V8's sampling profiler, as self
 * time by group of files and by function. `--keep FILE` keeps the profile itself for a flame graph.
 */
const { values } = parseArgs({
  options: {
    arm: { type: 'string', default: '2' },
    seconds: { type: 'string', default: '10' },
    top: { type: 'string', default: '25' },
    keep: { type: 'string' },
  },
});

/** The part of a .cpuprofile that is read. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds between samples. */
  readonly timeDeltas: readonly number[];
}

/** The first that the URL of a function's file holds decides. */
const groups: readonly (readonly [part: string, group: string])[] = [
  ['/src/wire/', 'wire'],
  ['/google-protobuf/', 'wire'],
  ['node:internal/encoding', 'wire'],
  ['/src/server/', 'server'],
  ['/@grpc/grpc-js/', 'grpc-js'],
  ['internal/http2', 'node http2'],
  ['node:http2', 'node http2'],
  ['node:net', 'node net and streams'],
  ['internal/stream', 'node net and streams'],
  ['node:stream', 'node net and streams'],
  ['node:events', 'node net and streams'],
  ['internal/timers', 'timers and ticks'],
  ['internal/process', 'timers and ticks'],
  ['internal/async_hooks', 'timers and ticks'],
  ['node:timers', 'timers and ticks'],
  ['internal/crypto', 'crypto'],
  ['node:crypto', 'crypto'],
  ['/jose/', 'crypto'],
  ['/src/identity/', 'identity'],
  ['/src/trust/', 'identity'],
  ['/src/request/', 'request'],
  ['/src/json/', 'request'],
  ['/src/policy/', 'policy'],
  ['/src/decision/', 'policy'],
  ['/@bufbuild/', 'policy'],
  ['/src/evidence/', 'evidence'],
  ['/src/replay/', 'evidence'],
  ['/src/response/', 'response'],
  ['/src/observe/', 'log and metrics'],
  ['/pino', 'log and metrics'],
  ['/sonic-boom', 'log and metrics'],
  ['/prom-client/', 'log and metrics'],
  ['/src/check.js', 'check'],
];

function groupOf(url: string, name: string): string | undefined {
  if (name === '(garbage collector)') return 'garbage collector';
  if (name === '(program)') return 'native: kernel, libuv, nghttp2';
  if (name === '(idle)') return 'idle';
  if (url === '') return undefined;
  return groups.find(([part]) => url.includes(part))?.[1] ?? 'other JavaScript';
}

/** Self time in microseconds, by group and by function, of the samples after `fromUs`. */
function selfTimes(profile: CpuProfile, fromUs: number) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(
    profile.nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id])),
  );
  /** A native function has no file: it counts for the JavaScript that called it. */
  const groupOfNode = (id: number | undefined): string => {
    const node = id === undefined ? undefined : nodes.get(id);
    if (node === undefined) return 'other JavaScript';
    const { url, functionName } = node.callFrame;
    return groupOf(url, functionName) ?? groupOfNode(parents.get(node.id));
  };
  const byGroup = new Map<string, number>();
  const byFunction = new Map<string, number>();
  let atUs = 0;
  profile.samples.forEach((id, index) => {
    const deltaUs = profile.timeDeltas[index] ?? 0;
    atUs += deltaUs;
    if (atUs < fromUs) return;
    const group = groupOfNode(id);
    if (group === 'idle') return;
    const { url = '', functionName = '' } = nodes.get(id)?.callFrame ?? {};
    const file = url.replace(/^.*\/(build|node_modules)\//, '') || 'native';
    add(byGroup, group, deltaUs);
    add(byFunction, `${functionName || '(anonymous)'} | ${file} | ${group}`, deltaUs);
  });
  return { byGroup, byFunction };
}

function add(sums: Map<string, number>, key: string, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value);
}

function rows(sums: ReadonlyMap<string, number>, answers: number, count: number) {
  const total = [...sums.values()].reduce((sum, value) => sum + value, 0);
  return [...sums]
    .sort(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([name, value]) => [
      ...name.split(' | '),
      (value / answers).toFixed(2),
      `${((100 * value) / total).toFixed(1)} %`,
    ]);
}

const arm = arms.find(({ id }) => id === values.arm);
if (arm === undefined) throw new Error(`there is no arm ${values.arm}`);
pinGenerator();
const place = await createBenchPlace();
try {
  const folder = place.path('profile');
  mkdirSync(folder);
  const began = performance.now();
  const standing = await standSidecar(place, arm, [
    '--cpu-prof',
    `--cpu-prof-dir=${folder}`,
    '--cpu-prof-interval=250',
  ]);
  const questions = arm.questions(place);
  /** Questions that can be asked once are made anew as often as needed; the profiler sees that idle. */
  const ask = async (ms: number, maxCount: number) => {
    let answers = 0;
    let usedUs = 0;
    for (const end = performance.now() + ms; performance.now() < end && answers < maxCount; ) {
      const asked = questions.isOnce ? arm.questions(place) : questions;
      const part = { concurrency: 64, ms: end - performance.now(), maxCount: maxCount - answers };
      const measured = await measure(standing, asked, part, arm.connections);
      if (measured.answers === 0) break;
      answers += measured.answers;
      usedUs += measured.cpuUs * measured.answers;
    }
    return { answers, cpuUs: usedUs / Math.max(1, answers) };
  };
  await ask(60_000, 30_000);
  const fromUs = (performance.now() - began) * 1000;
  const { answers, cpuUs } = await ask(Number(values.seconds) * 1000, Number.POSITIVE_INFINITY);
  await standing.served.stop();
  const [file] = readdirSync(folder);
  if (file === undefined) throw new Error('the profiler wrote nothing');
  if (values.keep !== undefined) copyFileSync(join(folder, file), values.keep);
  const profile: CpuProfile = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  const { byGroup, byFunction } = selfTimes(profile, fromUs);
  process.stdout.write(
    `arm ${arm.id}, ${arm.name}: ${answers.toLocaleString('en')} answers, ${cpuUs.toFixed(1)} µs of CPU each under the profiler (all threads); the main thread by self time:\n\n` +
      `${markdown(['group', 'µs/answer', 'share'], rows(byGroup, answers, 30))}\n\n` +
      `${markdown(['function', 'file', 'group', 'µs/answer', 'share'], rows(byFunction, answers, Number(values.top)))}\n`,
  );
} finally {
  place.remove();
}
