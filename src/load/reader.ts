import type { PolicySet } from '../policy/policy-set.js';
import { type CompiledPolicies, readFiles } from './read-files.js';
import type { Part, Reading, ReadRequest } from './reading.js';

/** Reads everything that a request names. It rejects only where it could not do its work at all. */
export interface Reader {
  read(request: ReadRequest): Promise<Reading<PolicySet>>;
  /** Gets ready for a read that is going to be asked for. */
  expect(): void;
  /** A read that is under way rejects. */
  close(): Promise<void>;
}

/** Reads at once, in this thread: for commands that answer nobody meanwhile. */
export function readHere(): Reader {
  return {
    read: async (request) => {
      const reading = await readFiles(request);
      const { files } = reading;
      return { ...reading, files: files && { ...files, policies: setOf(files.policies) } };
    },
    expect: () => {},
    close: () => Promise.resolve(),
  };
}

function setOf(part: Part<CompiledPolicies>): Part<PolicySet> {
  return part.state === 'good' ? { ...part, value: part.value.set } : part;
}
