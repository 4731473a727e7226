import type { Socket } from 'node:net';
import type { ReplayStore, Spent } from '../replay/replay-store.js';
import type { FromWorker, Question, Spending, ToWorker } from './messages.js';
import { type Pending, pendingAnswers } from './pending.js';

/** What a worker does when the primary says so. */
export interface Duties {
  connection(socket: Socket): void;
  answer(question: Question): Promise<unknown> | unknown;
  drain(): void;
  stop(graceMs: number): void;
  /** The primary is gone: nobody gives connections, keeps what is spent, or collects metrics. */
  orphaned(): void;
}

/** The primary, as a worker sees it. */
export interface Primary {
  readonly number: number;
  readonly nonceSecret: Buffer;
  serving(isServing: boolean): void;
  /** Single use across all workers; a primary that is away, or slower than that, gives `unavailable`. */
  replayStore(maxEntries: () => number, withinMs: () => number): ReplayStore;
  /** From now on messages are answered. */
  begin(duties: Duties): void;
  /** Ends the channel, without which the process could not end. */
  leave(): void;
}

/** Connects to the process that forked this one; undefined when none did. */
export async function findPrimary(): Promise<Primary | undefined> {
  if (process.send === undefined) return undefined;
  const spent = pendingAnswers<Spent>('unavailable');
  const early: [ToWorker, Socket | undefined][] = [];
  let duties: Duties | undefined;
  const { promise: begun, resolve: begin } = promiseOf<Extract<ToWorker, { kind: 'begin' }>>();
  const hear = (message: ToWorker, socket: Socket | undefined) => {
    if (message.kind === 'begin') begin(message);
    else if (message.kind === 'spent') spent.answer(message.id, message.spent);
    else if (duties === undefined) early.push([message, socket]);
    else perform(duties, message, socket);
  };
  process.on('message', (message, handle) => hear(message as ToWorker, handle as Socket));
  process.once('disconnect', () => {
    spent.giveUp();
    duties?.orphaned();
  });
  tell({ kind: 'here' });
  const { number, nonceSecret } = await begun;
  return {
    number,
    nonceSecret: Buffer.from(nonceSecret, 'base64'),
    serving: (isServing) => tell({ kind: 'serving', isServing }),
    replayStore: (maxEntries, withinMs) => sharedStore(spent, maxEntries, withinMs),
    begin(given) {
      duties = given;
      for (const [message, socket] of early.splice(0)) perform(given, message, socket);
      if (!process.connected) given.orphaned();
    },
    leave: () => {
      if (process.connected) process.disconnect();
    },
  };
}

/** The primary counts the entries; how often it gave no answer, each worker. */
function sharedStore(
  spent: Pending<Spent>,
  maxEntries: () => number,
  withinMs: () => number,
): ReplayStore {
  let unavailable = 0;
  const ask = (spending: Spending) =>
    process.connected
      ? spent.ask((id) => tell({ kind: 'spend', id, spending }), withinMs())
      : Promise.resolve<Spent>('unavailable');
  return {
    async spend(credential, request, untilMs) {
      const answer = await ask({ credential, request, untilMs, maxEntries: maxEntries() });
      if (answer === 'unavailable') unavailable += 1;
      return answer;
    },
    state: () => ({ entries: undefined, capacity: undefined, unavailable }),
    close: () => Promise.resolve(),
  };
}

function perform(duties: Duties, message: ToWorker, socket: Socket | undefined): void {
  switch (message.kind) {
    case 'connection':
      if (socket === undefined) return;
      socket.once('close', () => tell({ kind: 'closed' }));
      duties.connection(socket);
      return;
    case 'question':
      answer(duties, message.id, message.question).catch(() => {});
      return;
    case 'drain':
      duties.drain();
      return;
    case 'stop':
      duties.stop(message.graceMs);
      return;
    case 'begin':
    case 'spent':
      return;
    default:
      message satisfies never;
  }
}

async function answer(duties: Duties, id: number, question: Question): Promise<void> {
  tell({ kind: 'answer', id, answer: await duties.answer(question) });
}

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function promiseOf<T>() {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
