import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Spent } from '../replay/replay-store.js';
import type { Question, Spending } from './messages.js';
import { Worker } from './worker.js';

export interface CrewOptions {
  readonly size: number;
  /** Starts one worker process, with a channel for messages and its standard output readable. */
  readonly fork: () => ChildProcess;
  /** Shared by all, so that a DPoP nonce that one gave is known to the others. */
  readonly nonceSecret: string;
  readonly spend: (spending: Spending) => Spent | Promise<Spent>;
  readonly line: (text: string) => void;
  /** A worker ended that nobody asked to; another one is started after `againMs`. */
  readonly lost: (worker: number, how: string, againMs: number) => void;
  /** How often a worker is asked whether it still answers; one that hangs is replaced. */
  readonly pulseMs: number;
  /** Milliseconds of a clock that does not step back. */
  readonly monotonicMs: () => number;
}

export interface Crew {
  /** Gives a connection to the worker that has the fewest; it waits while there is none. */
  give(socket: Socket): void;
  /** What each worker answers that has an answer within a second, by its number from 1. */
  ask(question: Question): Promise<ReadonlyMap<number, unknown>>;
  /** Resolves when every worker has a policy in force. */
  allServing(): Promise<void>;
  /** Health says NOT_SERVING; calls go on being answered. */
  drain(): void;
  /** Ends every worker when its calls are answered, by force when `graceMs` and a second are over. */
  stop(graceMs: number): Promise<void>;
}

const firstBackOffMs = 100;
const lastBackOffMs = 5_000;
/** A worker that lived this long has not failed at its start. */
const steadyMs = 10_000;
const forceMs = 1_000;
/** Envoy opens a connection per thread of its own; more than this wait for nobody. */
const maxWaiting = 1_024;

/** Starts `size` workers, and another one with back-off wherever one ends unasked. */
export function startCrew(options: CrewOptions): Crew {
  const { size, monotonicMs } = options;
  const workers = new Map<number, Worker>();
  const ends = new Set<() => void>();
  const waiting = new Set<Socket>();
  const servingWaits = new Set<() => void>();
  const backOffs = new Map<number, number>();
  let isStopping = false;

  const start = (number: number) => {
    const startedMs = monotonicMs();
    const worker = new Worker(number, options.fork(), {
      nonceSecret: options.nonceSecret,
      spend: options.spend,
      line: options.line,
      serving: () => {
        giveWaiting();
        if (areAllServing()) for (const go of servingWaits) go();
      },
      ended: (code, signal) => {
        workers.delete(number);
        for (const end of ends) end();
        if (isStopping) return;
        const isSteady = monotonicMs() - startedMs >= steadyMs;
        const againMs = isSteady ? firstBackOffMs : (backOffs.get(number) ?? firstBackOffMs);
        backOffs.set(number, Math.min(lastBackOffMs, 2 * againMs));
        options.lost(number, signal ?? `exit code ${code}`, againMs);
        setTimeout(() => {
          if (!isStopping) start(number);
        }, againMs);
      },
    });
    workers.set(number, worker);
  };
  const areAllServing = () =>
    workers.size === size && [...workers.values()].every(({ isServing }) => isServing);
  const giveWaiting = () => {
    for (const socket of waiting) {
      const worker = leastBusy(workers.values());
      if (worker === undefined) return;
      waiting.delete(socket);
      worker.give(socket);
    }
  };
  for (let number = 1; number <= size; number += 1) start(number);
  const pulse = setInterval(() => {
    for (const worker of workers.values()) worker.pulse().catch(() => {});
  }, options.pulseMs).unref();

  return {
    give(socket) {
      socket.on('error', () => waiting.delete(socket));
      if (waiting.size >= maxWaiting) socket.destroy();
      else waiting.add(socket);
      giveWaiting();
    },
    async ask(question) {
      const asked = [...workers.values()].map(
        async (worker) => [worker.number, await worker.ask(question)] as const,
      );
      const answers = await Promise.all(asked);
      return new Map(answers.filter(([, answer]) => answer !== undefined));
    },
    allServing: () =>
      new Promise((resolve) => {
        if (areAllServing()) resolve();
        else servingWaits.add(resolve);
      }),
    drain() {
      for (const worker of workers.values()) worker.tell({ kind: 'drain' });
    },
    stop: (graceMs) =>
      new Promise((resolve) => {
        isStopping = true;
        clearInterval(pulse);
        for (const socket of waiting) socket.destroy();
        const force = setTimeout(() => {
          for (const worker of workers.values()) worker.kill();
        }, graceMs + forceMs);
        const end = () => {
          if (workers.size > 0) return;
          clearTimeout(force);
          resolve();
        };
        ends.add(end);
        for (const worker of workers.values()) {
          if (worker.isHere) worker.tell({ kind: 'stop', graceMs });
          else worker.kill();
        }
        end();
      }),
  };
}

/** One that has a policy rather than one that has none, which denies. */
function leastBusy(workers: Iterable<Worker>): Worker | undefined {
  const here = [...workers].filter(({ isHere }) => isHere);
  const serving = here.filter(({ isServing }) => isServing);
  const able = serving.length > 0 ? serving : here;
  return able.sort((a, b) => a.connections - b.connections)[0];
}
