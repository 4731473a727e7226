import { pino } from 'pino';

/** Bytes that wait for a slow reader before lines are dropped. */
const maxBufferBytes = 16 * 1024 * 1024;

/** Standard output for whole lines that other processes wrote; it never waits. */
export function createLineOutput(): { write(line: string): void; flush(): void } {
  const destination = pino.destination({ dest: 1, sync: false, maxLength: maxBufferBytes });
  destination.on('error', () => {});
  return {
    write: (line) => void destination.write(`${line}\n`),
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // A destination that was never opened has nothing to write.
      }
    },
  };
}
