import { randomUUID } from 'node:crypto';
import { reserve } from '../examples/quickstart/workplace.js';
import { checkPath } from '../src/server/listener.js';
import type { Arm } from './arms.js';
import type { Question, Target } from './connection.js';
import { closedLoop, type Questions } from './load.js';
import { findOpa, startOpa } from './opa.js';
import { cpuUs, family } from './process-cost.js';
import { type Served, startFloor, startSidecar } from './servers.js';
import type { BenchPlace } from './workplace.js';

/** What one round of one server cost. */
export interface Measure {
  readonly answers: number;
  readonly permits: number;
  readonly denies: number;
  readonly perSecond: number;
  /** CPU time of the server's processes for one answer, in microseconds. */
  readonly cpuUs: number;
  readonly generatorUs: number;
  /** Share of the wall time that the server had a core for, summed over its cores. */
  readonly busy: number;
}

export interface Round {
  readonly floor: Measure;
  readonly arm: Measure;
}

export interface Plan {
  readonly rounds: number;
  readonly ms: number;
  readonly concurrency: number;
}

/** One stretch of asking: it ends by time or by count, whatever comes first. */
type Part = Pick<Plan, 'ms' | 'concurrency'> & { readonly maxCount?: number };

/** A server with its address, ready to be asked. */
export interface Standing {
  readonly served: Served;
  readonly target: Target;
}

/**
 * As Envoy calls it, but more patient: a stall of the machine has to be a slow answer, and not a deny
 * of a sidecar that sheds load.
 */
const head: Target['head'] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', checkPath],
  [':authority', 'countersign.local'],
  ['te', 'trailers'],
  ['grpc-timeout', '20S'],
  ['content-type', 'application/grpc'],
  ['x-envoy-expected-rq-timeout-ms', '20000'],
];

export function targetOf(address: Target['address']): Target {
  return { address, head, answers: 'grpc' };
}

export async function standFloor(place: BenchPlace, transport: 'tcp' | 'unix'): Promise<Standing> {
  if (transport === 'unix') {
    const path = place.path(`floor-${randomUUID()}.sock`);
    return { served: await startFloor(`unix:${path}`), target: targetOf({ path }) };
  }
  const [port = 0] = await reserve(1);
  return { served: await startFloor(`127.0.0.1:${port}`), target: targetOf({ port }) };
}

/** Starts the sidecar as an arm wants it. */
export async function standSidecar(
  place: BenchPlace,
  arm: Pick<Arm, 'id' | 'settings' | 'transport' | 'core'>,
  nodeFlags: readonly string[] = [],
): Promise<Standing> {
  const [port = 0, adminPort = 0] = await reserve(2);
  const path = place.path(`${arm.id}.sock`);
  const isUnix = arm.transport === 'unix';
  const configFile = place.configure(`arm-${arm.id}`, {
    rules: 10,
    log: 'off',
    workers: 1,
    ...arm.settings,
    listen: isUnix ? `unix://${path}` : `127.0.0.1:${port}`,
    adminPort,
  });
  const served = await startSidecar({
    configFile,
    adminPort,
    nodeFlags,
    stdoutFile: place.path(`${arm.id}.log`),
    ...(arm.core === undefined ? {} : { core: arm.core }),
  });
  return { served, target: targetOf(isUnix ? { path } : { port }) };
}

async function standOpa(place: BenchPlace): Promise<Standing | undefined> {
  const binary = findOpa();
  if (binary === undefined) return undefined;
  const [port = 0] = await reserve(1);
  return { served: await startOpa(binary, place, port), target: targetOf({ port }) };
}

export async function measure(
  { served, target }: Standing,
  questions: Questions,
  part: Part,
  connections = 1,
): Promise<Measure> {
  const before = cpuUs(served.pid);
  const own = process.cpuUsage();
  const { count, permits, denies, seconds } = await closedLoop({
    target,
    questions,
    connections,
    concurrency: part.concurrency,
    ms: part.ms,
    ...(part.maxCount === undefined ? {} : { maxCount: part.maxCount }),
  });
  const { user, system } = process.cpuUsage(own);
  const used = cpuUs(served.pid) - before;
  return {
    answers: count,
    permits,
    denies,
    perSecond: count / seconds,
    cpuUs: used / count,
    generatorUs: (user + system) / count,
    busy: used / 1e6 / seconds,
  };
}

/** The floor permits all. */
export function forFloor({ list, isOnce }: Questions): Questions {
  return { list: list.map((question): Question => ({ ...question, want: 'permit' })), isOnce };
}

/**
 * Every arm in a process of its own, each round all arms in turn, each right after a round of the
 * floor with the same requests: what slows the machine down for a while slows both.
 */
export async function runRounds(
  place: BenchPlace,
  chosen: readonly Arm[],
  plan: Plan,
  tell: (text: string) => void,
): Promise<ReadonlyMap<Arm, readonly Round[]>> {
  const standing: Served[] = [];
  const measured = new Map<Arm, Round[]>();
  const keep = (started: Standing) => {
    standing.push(started.served);
    return started;
  };
  try {
    const floors = {
      tcp: keep(await standFloor(place, 'tcp')),
      unix: keep(await standFloor(place, 'unix')),
    };
    const runners = [];
    for (const arm of chosen) {
      const stood = arm.peer === undefined ? await standSidecar(place, arm) : await standOpa(place);
      if (stood === undefined) {
        tell(
          `arm ${arm.id} is LEFT OUT: its binary is not here, \`npm run bench:peers\` builds it`,
        );
        continue;
      }
      const sidecar = keep(stood);
      if (family(sidecar.served.pid).length < (arm.settings?.workers ?? 1)) {
        tell(`arm ${arm.id} is LEFT OUT: the sidecar did not start as many workers as it was told`);
        continue;
      }
      const rounds: Round[] = [];
      measured.set(arm, rounds);
      const questions = fresh(arm, place);
      const run = async (part: Part): Promise<Round> => {
        tell(`  ${arm.id} ${arm.name}`);
        const asked = questions();
        const floor = floors[arm.transport ?? 'tcp'];
        return {
          floor: await measure(floor, forFloor(asked), part, arm.connections),
          arm: await measure(sidecar, asked, part, arm.connections),
        };
      };
      runners.push({ rounds, run });
    }
    tell('warming up');
    for (const { run } of runners) {
      for (let answers = 0; answers < warmUp.maxCount; ) {
        answers += (await run({ ...plan, ...warmUp })).arm.answers;
      }
    }
    for (let round = 1; round <= plan.rounds; round += 1) {
      tell(`round ${round} of ${plan.rounds}`);
      for (const { rounds, run } of runners) rounds.push(await run(plan));
    }
    return measured;
  } finally {
    for (const served of standing) await served.stop();
  }
}

/** By count, not by time: V8 compiles what has run often, however slow the machine is just now. */
const warmUp = { ms: 120_000, maxCount: 20_000 };

/** Questions that may be asked once are made for each round; others are made once. */
function fresh(arm: Arm, place: BenchPlace): () => Questions {
  let made: Questions | undefined;
  return () => {
    if (made === undefined || made.isOnce) made = arm.questions(place);
    return made;
  };
}
