import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import type { PolicyDraft } from '../policy/policy-draft.js';
import type { PolicySet } from '../policy/policy-set.js';
import type { Steps } from '../policy/steps.js';
import { inSlices } from './in-slices.js';
import { type Piece, PieceJoiner } from './pieces.js';
import type { Reader } from './reader.js';
import type { Question } from './reader-thread.js';
import type { Part, Reading } from './reading.js';

/**
 * Reads in a thread of its own, which parses, checks and lints, and ends; what it needed for that
 * goes with it. Here its answer is fetched and the rules are compiled from it, in slices of two
 * milliseconds. One read at a time.
 */
export function readInThread(): Reader {
  let expected: Worker | undefined;
  const start = () => {
    const worker = new Worker(new URL('./reader-thread.js', import.meta.url));
    // Whoever waits for it hears of its end; before that, nobody does.
    worker.on('error', () => {});
    worker.unref();
    return worker;
  };
  const running = new Set<Worker>();
  return {
    expect: () => {
      expected ??= start();
    },
    read: async (request) => {
      const worker = expected ?? start();
      expected = undefined;
      running.add(worker);
      const { port1, port2 } = new MessageChannel();
      try {
        const count = await answered(worker, { request, port: port1 });
        const reading = await inSlices(fetchPieces(port2, count));
        return await assemble(reading);
      } finally {
        port2.close();
        running.delete(worker);
        await worker.terminate();
      }
    },
    close: async () => {
      await Promise.all([...running, ...(expected ? [expected] : [])].map((it) => it.terminate()));
      expected = undefined;
    },
  };
}

/** Resolves to the number of pieces when all of the answer lie at the port. */
function answered(worker: Worker, question: Question): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.ref();
    worker.once('message', (count: number) => resolve(count));
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the reader ended with code ${code}`)));
    worker.postMessage(question, [question.port]);
  });
}

/** The other end is `reader-thread.ts`, whose answer this is, whole or not at all; a step is a piece. */
function* fetchPieces(port: MessagePort, count: number): Steps<Reading<PolicyDraft>> {
  const joiner = new PieceJoiner();
  for (let fetched = 0; fetched < count; fetched += 1) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) throw new Error(`the reader sent ${fetched} pieces of ${count}`);
    joiner.take(received.message as Piece);
    yield;
  }
  return joiner.value as Reading<PolicyDraft>;
}

async function assemble({ files, ...reading }: Reading<PolicyDraft>): Promise<Reading<PolicySet>> {
  if (files === undefined) return { ...reading, files };
  // Loaded here, so that a thread can be started before all that it needs is loaded.
  const { assemblePolicies, hasConditions } = await import('../policy/policy-draft.js');
  const { policies } = files;
  if (policies.state !== 'good') return { ...reading, files: { ...files, policies } };
  const engine = hasConditions(policies.value) ? await loadEngine() : undefined;
  const set = await inSlices(assemblePolicies(policies.value, engine));
  const part: Part<PolicySet> = { ...policies, value: set };
  return { ...reading, files: { ...files, policies: part } };
}

async function loadEngine() {
  return (await import('../policy/condition-engine.js')).conditionEngine;
}
