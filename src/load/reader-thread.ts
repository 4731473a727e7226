import { setPriority } from 'node:os';
import { type MessagePort, parentPort } from 'node:worker_threads';
import type { PolicyDraft } from '../policy/policy-draft.js';
import { toPieces } from './pieces.js';
import { type CompiledPolicies, readFiles } from './read-files.js';
import type { FilesReading, Reading, ReadRequest } from './reading.js';

/** What the thread is asked, once in its life. */
export interface Question {
  readonly request: ReadRequest;
  /** Where what is read goes, in messages that lie there until they are fetched. */
  readonly port: MessagePort;
}

/** Told when everything lies at the port: so many pieces of the reading, then so many `RulePortion`s. */
export interface Answer {
  readonly pieces: number;
  readonly portions: number;
}

// Linux counts a thread as a process of its own here: whoever answers requests goes first, and where
// it needs a whole core, a third of one is left for this.
if (process.platform === 'linux') setPriority(5);

parentPort?.once('message', async ({ request, port }: Question) => {
  const { files, ...rest } = await readFiles(request);
  const compiled = files?.policies.state === 'good' ? files.policies.value : undefined;
  const reading: Reading<PolicyDraft> = { ...rest, files: files && withDraft(files) };
  const answer: Answer = {
    pieces: postAll(port, toPieces(reading)),
    portions: postAll(port, compiled?.portions() ?? []),
  };
  parentPort?.postMessage(answer);
});

function postAll(port: MessagePort, messages: Iterable<unknown>): number {
  let count = 0;
  for (const message of messages) {
    port.postMessage(message);
    count += 1;
  }
  return count;
}

function withDraft(files: FilesReading<CompiledPolicies>): FilesReading<PolicyDraft> {
  const { policies } = files;
  return policies.state === 'good'
    ? { ...files, policies: { ...policies, value: policies.value.draft() } }
    : { ...files, policies };
}
