import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { LineTarget } from './line-sink.js';

const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK;

/**
 * Standard output, opened once more for ourselves without blocking: a pipe whose reader stopped would
 * otherwise hold a thread of the process, and its exit. What cannot be opened again is a socket, and
 * Node.js writes to those without blocking.
 */
export function standardOutput(): LineTarget {
  const opening = open('/dev/stdout', flags).catch(() => undefined);
  return {
    prepare: async () => {},
    async write(bytes) {
      const handle = await opening;
      if (handle === undefined) return writeToSocket(bytes);
      return (await handle.write(bytes)).bytesWritten;
    },
    close: async () => (await opening)?.close(),
  };
}

function writeToSocket(bytes: Uint8Array): Promise<number> {
  if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {});
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error ? reject(error) : resolve(bytes.length)));
  });
}
