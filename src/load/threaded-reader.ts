import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
} from 'node:worker_threads';
import type { PolicyDraft, RulePortion } from '../policy/policy-draft.js';
import type { PolicySet } from '../policy/policy-set.js';
import type { Steps } from '../policy/steps.js';
import { inSlices } from './in-slices.js';
import { type Piece, PieceJoiner } from './pieces.js';
import type { Reader } from './reader.js';
import type { Answer, Question } from './reader-thread.js';
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
        const { pieces, portions } = await answered(worker, { request, port: port1 });
        const reading = await inSlices(fetchReading(port2, pieces));
        return await assemble(reading, fetchMessages(port2, portions));
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

/** Resolves when all of the answer lies at the port. */
function answered(worker: Worker, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    worker.ref();
    worker.once('message', (answer: Answer) => resolve(answer));
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the reader ended with code ${code}`)));
    worker.postMessage(question, [question.port]);
  });
}

/** So many messages of the port, each received when it is asked for; all of them, or it throws. */
function* fetchMessages(port: MessagePort, count: number): Generator<unknown> {
  for (let fetched = 0; fetched < count; fetched += 1) {
    const received = receiveMessageOnPort(port);
    if (received === undefined) throw new Error(`the reader sent ${fetched} messages of ${count}`);
    yield received.message;
  }
}

/** The other end is `reader-thread.ts`, which sends nothing else; a step is a piece. */
function* fetchReading(port: MessagePort, count: number): Steps<Reading<PolicyDraft>> {
  const joiner = new PieceJoiner();
  for (const piece of fetchMessages(port, count)) {
    joiner.take(piece as Piece);
    yield;
  }
  return joiner.value as Reading<PolicyDraft>;
}

async function assemble(
  { files, ...reading }: Reading<PolicyDraft>,
  portions: Iterable<unknown>,
): Promise<Reading<PolicySet>> {
  if (files === undefined) return { ...reading, files };
  // Loaded here, so that a thread can be started before all that it needs is loaded.
  const { assemblePolicies } = await import('../policy/policy-draft.js');
  const { policies } = files;
  if (policies.state !== 'good') return { ...reading, files: { ...files, policies } };
  const engine = policies.value.hasConditions ? await loadEngine() : undefined;
  const rules = portions as Iterable<RulePortion>;
  const set = await inSlices(assemblePolicies(policies.value, rules, engine));
  const part: Part<PolicySet> = { ...policies, value: set };
  return { ...reading, files: { ...files, policies: part } };
}

async function loadEngine() {
  return (await import('../policy/condition-engine.js')).conditionEngine;
}
