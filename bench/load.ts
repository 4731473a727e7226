import { Connection, type Question, type Target, Void } from './connection.js';
import type { Verdict } from './verdict.js';

/** What is asked, in order: again from the start, or once, and then the round is over. */
export interface Questions {
  readonly list: readonly Question[];
  readonly isOnce: boolean;
}

export interface Answers {
  readonly count: number;
  readonly permits: number;
  readonly denies: number;
  readonly seconds: number;
}

interface Load {
  readonly target: Target;
  readonly questions: Questions;
  /** Several connections share the questions in turn. */
  readonly connections: number;
}

/** Questions in order; `next` gives undefined when those that are asked once are used up. */
function asker({ list, isOnce }: Questions) {
  let at = 0;
  return {
    next(): Question | undefined {
      if (at === list.length) {
        if (isOnce) return undefined;
        at = 0;
      }
      at += 1;
      return list[at - 1];
    },
  };
}

async function open(
  { target, connections }: Load,
  answer: (connection: number, verdict: Verdict, question: Question, tag: number) => void,
  failed: (error: Error) => void,
): Promise<readonly Connection[]> {
  return await Promise.all(
    Array.from({ length: connections }, (_, index) =>
      Connection.open(target, {
        answer: (question, tag, verdict) => answer(index, verdict, question, tag),
        failed,
      }),
    ),
  );
}

/**
 * A closed loop: `concurrency` questions are always under way, until `ms` have passed or the
 * questions are used up; then the last answers are awaited. Every answer is checked.
 */
export async function closedLoop(
  load: Load & { readonly concurrency: number; readonly ms: number; readonly maxCount?: number },
): Promise<Answers> {
  const { next } = asker(load.questions);
  const maxCount = load.maxCount ?? Number.POSITIVE_INFINITY;
  const counts = { permit: 0, deny: 0 };
  let asked = 0;
  let inFlight = 0;
  let end = Number.POSITIVE_INFINITY;
  let finish = () => {};
  let fail: (error: Error) => void = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  ended.catch(() => {});
  const ask = (connection: Connection | undefined) => {
    const question = asked < maxCount && performance.now() < end ? next() : undefined;
    if (question === undefined || connection === undefined) return;
    asked += 1;
    inFlight += 1;
    connection.ask(question, 0);
  };
  const connections = await open(
    load,
    (index, verdict) => {
      counts[verdict === 'permit' ? 'permit' : 'deny'] += 1;
      inFlight -= 1;
      ask(connections[index]);
      if (inFlight === 0) finish();
    },
    (error) => fail(error),
  );
  const start = performance.now();
  end = start + load.ms;
  for (let index = 0; index < load.concurrency; index += 1) {
    ask(connections[index % connections.length]);
  }
  for (const connection of connections) connection.flush();
  if (inFlight === 0) finish();
  try {
    await ended;
    const seconds = (performance.now() - start) / 1000;
    const count = counts.permit + counts.deny;
    return { count, permits: counts.permit, denies: counts.deny, seconds };
  } finally {
    for (const connection of connections) connection.close();
  }
}

export interface Timed {
  /** Milliseconds from when the question was due to its answer, in the order they were due. */
  readonly latenciesMs: Float64Array;
  readonly count: number;
  readonly seconds: number;
}

/**
 * An open loop: questions at a constant rate whatever the answers do, each timed from the moment
 * it was due (so a stall costs every question that fell into it). The generator spins, since a timer
 * would be a millisecond late; where it shares its core with what is measured it must not, and a
 * question is timed from when the timer sent it.
 * @param heard told of each answer: its question, when it was due and when it came
 */
export async function openLoop(
  load: Load & { readonly perSecond: number; readonly seconds: number; readonly shares?: 'core' },
  heard: (question: Question, verdict: Verdict, dueMs: number, nowMs: number) => void = () => {},
): Promise<Timed> {
  const { next } = asker(load.questions);
  const total = Math.floor(load.perSecond * load.seconds);
  const latenciesMs = new Float64Array(total);
  const begunMs = new Float64Array(total);
  let start = 0;
  let asked = 0;
  let answered = 0;
  let failure: Error | undefined;
  const dueMs = (index: number) => start + (index * 1000) / load.perSecond;
  const connections = await open(
    load,
    (_, verdict, question, tag) => {
      const nowMs = performance.now();
      const begun = begunMs[tag] ?? nowMs;
      latenciesMs[tag] = nowMs - begun;
      answered += 1;
      heard(question, verdict, begun, nowMs);
    },
    (error) => {
      failure ??= error;
    },
  );
  start = performance.now();
  const patienceMs = 60_000;
  try {
    while (answered < total) {
      const nowMs = performance.now();
      if (failure !== undefined) throw failure;
      if (nowMs > dueMs(total) + patienceMs) throw new Void('answers are missing');
      while (asked < total && dueMs(asked) <= nowMs) {
        const question = next();
        if (question === undefined) throw new Error('the questions are used up');
        begunMs[asked] = load.shares === 'core' ? nowMs : dueMs(asked);
        connections[asked % connections.length]?.ask(question, asked);
        asked += 1;
      }
      for (const connection of connections) connection.flush();
      await new Promise((resolve) => {
        if (load.shares === 'core') setTimeout(resolve, 1);
        else setImmediate(resolve);
      });
    }
    return { latenciesMs, count: answered, seconds: (performance.now() - start) / 1000 };
  } finally {
    for (const connection of connections) connection.close();
  }
}
