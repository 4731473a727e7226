import { renameSync, writeFileSync } from 'node:fs';
import type { Arm } from './arms.js';
import type { Question } from './connection.js';
import { openLoop, type Questions } from './load.js';
import { policyText } from './policy-text.js';
import { residentMb } from './process-cost.js';
import { acrossRules, probeQuestion, spiffeQuestions, tokenQuestions } from './questions.js';
import { forFloor, measure, type Standing, standFloor, standSidecar } from './rounds.js';
import { quantile, summarize } from './statistics.js';
import type { Figure } from './table.js';
import type { BenchPlace } from './workplace.js';

/** What is measured beside the arms: times, sizes and latencies of one sidecar. */

const concurrency = 64;
const atMost = (limit: number, unit: string, value: number) => ({
  text: `below ${limit} ${unit}`,
  isMet: value < limit,
});

/** From the start of the process to `/readyz`, with a policy like that of an example. */
export async function startToReady(place: BenchPlace): Promise<readonly Figure[]> {
  const times: number[] = [];
  for (let start = 0; start < 9; start += 1) {
    const began = performance.now();
    const { served } = await standSidecar(place, { id: 'start' });
    times.push(performance.now() - began);
    await served.stop();
  }
  const { median, least, most } = summarize(times);
  return [
    {
      name: 'start to ready, 10 rules',
      value: median,
      unit: 'ms',
      spread: [least, most],
      goal: atMost(400, 'ms', median),
      note: 'from spawn to /readyz, 9 starts',
    },
  ];
}

/** Resident memory with 10,000 rules: idle, and after `requests` with 4,096 tokens in turn. */
export async function memory(place: BenchPlace, requests: number): Promise<readonly Figure[]> {
  const standing = await standSidecar(place, { id: 'memory', settings: { rules: 10_000 } });
  try {
    await sleep(2_000);
    const idle = residentMb(standing.served.pid);
    const tokens = tokenQuestions(place, 4096);
    const across = acrossRules(place, 10_000);
    const list = tokens.list.flatMap((question, index) =>
      index % 4 === 3 ? [question, nth(across, index >> 2)] : [question],
    );
    const part = { ms: 600_000, concurrency, maxCount: requests };
    await measure(standing, { list, isOnce: false }, part);
    const after = residentMb(standing.served.pid);
    const count = `${requests.toLocaleString('en')} requests`;
    return [
      { name: 'resident memory idle, 10,000 rules', value: idle, unit: 'MB' },
      {
        name: `resident memory after ${count}, 10,000 rules`,
        value: after,
        unit: 'MB',
        goal: atMost(120, 'MB', after),
        note: '4,096 tokens in turn, each fifth request about another rule',
      },
    ];
  } finally {
    await standing.served.stop();
  }
}

const nth = ({ list }: Questions, index: number): Question => {
  const question = list[index % list.length];
  if (question === undefined) throw new Error('there are no questions');
  return question;
};

/** Latency over a unix socket at half of the rate that the sidecar can sustain. */
export async function latency(place: BenchPlace, seconds: number): Promise<readonly Figure[]> {
  const arm: Pick<Arm, 'id' | 'transport'> = { id: 'latency', transport: 'unix' };
  const sidecar = await standSidecar(place, arm);
  const floor = await standFloor(place, 'unix');
  try {
    const questions = spiffeQuestions(place);
    const warm = { ms: 5_000, concurrency, maxCount: 30_000 };
    await measure(floor, forFloor(questions), warm);
    await measure(sidecar, questions, warm);
    const { perSecond } = await measure(sidecar, questions, { ms: 3_000, concurrency });
    const rate = Math.floor(perSecond / 2);
    const note = `${rate.toLocaleString('en')}/s, half of ${Math.round(perSecond).toLocaleString('en')}/s; open loop`;
    const own = await percentiles(sidecar, questions, rate, seconds);
    const bare = await percentiles(floor, forFloor(questions), rate, seconds);
    return [
      { name: 'Check over a unix socket, p50', value: own.p50, unit: 'ms', note },
      {
        name: 'Check over a unix socket, p99',
        value: own.p99,
        unit: 'ms',
        goal: atMost(2, 'ms', own.p99),
        note,
      },
      { name: 'floor over a unix socket, p50', value: bare.p50, unit: 'ms', note: 'the same rate' },
      { name: 'floor over a unix socket, p99', value: bare.p99, unit: 'ms', note: 'the same rate' },
    ];
  } finally {
    await sidecar.served.stop();
    await floor.served.stop();
  }
}

/** The median of several stretches, so that one stall of the machine is not the whole figure. */
async function percentiles(
  { target }: Standing,
  questions: Questions,
  perSecond: number,
  seconds: number,
): Promise<{ p50: number; p99: number }> {
  const p50: number[] = [];
  const p99: number[] = [];
  for (let stretch = 0; stretch < 5; stretch += 1) {
    const timed = await openLoop({ target, questions, connections: 1, perSecond, seconds });
    p50.push(quantile(timed.latenciesMs, 0.5));
    p99.push(quantile(timed.latenciesMs, 0.99));
  }
  return { p50: summarize(p50).median, p99: summarize(p99).median };
}

const reloadRate = 1_000;
const quietSeconds = 3;
const reloadSeconds = 8;

/**
 * A policy of 10,000 rules replaced under load. One in a hundred requests is a probe that the new
 * policy permits and the old one does not, so the reload is over when callers see it. The pause is
 * the longest that any Check waited in these seconds, beside the longest without a reload.
 */
export async function reload(place: BenchPlace): Promise<readonly Figure[]> {
  const rules = 10_000;
  const arm = { id: 'reload', settings: { rules }, transport: 'unix' } as const;
  const sidecar = await standSidecar(place, arm);
  try {
    const across = acrossRules(place, rules);
    const probe = probeQuestion(place);
    const list = across.list.flatMap((question, index) =>
      index % 100 === 0 ? [probe, question] : [question],
    );
    const questions = { list, isOnce: false };
    const load = { target: sidecar.target, questions, connections: 1, perSecond: reloadRate };
    await measure(sidecar, questions, { ms: 5_000, concurrency, maxCount: 20_000 });
    const pauses: number[] = [];
    const quiet: number[] = [];
    const times: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const before = await openLoop({ ...load, seconds: quietSeconds });
      quiet.push(Math.max(...before.latenciesMs));
      const wanted = round % 2 === 0 ? 'permit' : 'deny';
      let replacedMs: number | undefined;
      let seenMs: number | undefined;
      const during = await openLoop(
        { ...load, seconds: reloadSeconds },
        (asked, verdict, due, now) => {
          replacedMs ??= replacePolicy(place, arm.id, rules, wanted === 'permit');
          if (asked === probe && verdict === wanted && due > replacedMs) seenMs ??= now;
          if (asked === probe && verdict !== wanted && seenMs !== undefined && due > seenMs) {
            throw new Error('an answer by the old policy after one by the new: the run is void');
          }
        },
      );
      if (seenMs === undefined || replacedMs === undefined) {
        throw new Error('the new policy was not in force within the round');
      }
      pauses.push(Math.max(...during.latenciesMs));
      times.push(seenMs - replacedMs);
    }
    const pause = summarize(pauses);
    const time = summarize(times);
    return [
      {
        name: 'reload of 10,000 rules: file in place to first answer by it',
        value: time.median,
        unit: 'ms',
        spread: [time.least, time.most],
        note: 'the file is looked at every 200 ms, and must look the same twice',
      },
      {
        name: 'longest Check while it reloads',
        value: pause.median,
        unit: 'ms',
        spread: [pause.least, pause.most],
        goal: atMost(20, 'ms', pause.median),
        note: `open loop of ${reloadRate.toLocaleString('en')}/s; ${summarize(quiet).median.toFixed(1)} ms without a reload`,
      },
    ];
  } finally {
    await sidecar.served.stop();
  }
}

/** Renames a new policy into place and gives when. */
function replacePolicy(place: BenchPlace, id: string, rules: number, isOpen: boolean): number {
  const next = place.path(`${id}.next.yaml`);
  writeFileSync(next, policyText(rules, isOpen));
  renameSync(next, place.path(`arm-${id}.policies`, 'bench.yaml'));
  return performance.now();
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
