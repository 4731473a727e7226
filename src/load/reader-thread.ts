import { setPriority } from 'node:os';
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { PolicyDraft } from '../policy/policy-draft.js';
import { toPieces } from './pieces.js';
import { readFiles } from './read-files.js';
import type { Reading, ReadRequest } from './reading.js';

/** What the thread is asked, once in its life; it answers with the number of pieces. */
export interface Question {
  readonly request: ReadRequest;
  /** Where the pieces of the answer go; they lie there until they are fetched. */
  readonly port: MessagePort;
}

// Linux counts a thread as a process of its own here: whoever answers requests goes first, and where
// it needs a whole core, a third of one is left for this.
if (process.platform === 'linux') setPriority(5);

parentPort?.once('message', async ({ request, port }: Question) => {
  let count = 0;
  for (const piece of toPieces(await read(request))) {
    port.postMessage(piece);
    count += 1;
  }
  parentPort?.postMessage(count);
});

async function read(request: ReadRequest): Promise<Reading<PolicyDraft>> {
  const { files, ...reading } = await readFiles(request);
  if (files === undefined) return { ...reading, files };
  const { policies } = files;
  const part =
    policies.state === 'good' ? { ...policies, value: policies.value.draft() } : policies;
  return { ...reading, files: { ...files, policies: part } };
}
