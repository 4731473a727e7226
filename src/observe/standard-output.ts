import { constants, write } from 'node:fs';
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { LineTarget } from './line-sink.js';

const writeTo = promisify(write);
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;

/**
 * Standard output, opened once more for ourselves without blocking: a reader that stopped would
 * otherwise hold a thread of the process, and its exit. Where it cannot be opened (a socket) it is
 * written to as it is.
 */
export function standardOutput(): LineTarget {
  const opening = open('/dev/stdout', flags).catch(() => undefined);
  return {
    prepare: async () => {},
    async write(bytes) {
      const handle = await opening;
      const written = await (handle?.write(bytes) ?? writeTo(1, bytes));
      return written.bytesWritten;
    },
    close: async () => (await opening)?.close(),
  };
}
