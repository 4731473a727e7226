import { setTimeout as sleep } from 'node:timers/promises';

/** Where lines end up. Its promises may reject; they must not wait for a slow reader. */
export interface LineTarget {
  /** One write is no longer than about this. */
  readonly maxWrite?: number;
  /** Told before each write, so that it opens, reopens or rotates. */
  prepare(bytes: number): Promise<void>;
  /** What does not work although lines are written; undefined while all does. */
  readonly trouble?: string | undefined;
  /** @returns how many bytes were written: fewer than given perhaps */
  write(bytes: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** Characters that wait for a slow disk or pipe before lines are dropped. */
const maxWaiting = 16 * 1024 * 1024;
/** About as many characters are in one write; always whole lines. */
const maxWrite = 256 * 1024;
const firstRetryMs = 10;
const lastRetryMs = 1_000;

/**
 * Writes lines in their order, one write at a time, and lets nobody wait. A target that fails is
 * tried again until it works: meanwhile lines wait here, and beyond a bound new ones are dropped. A
 * line that was cut goes on where it was cut.
 */
export class LineSink {
  readonly #target: LineTarget;
  readonly #onDrop: (lines: number) => void;
  #waiting: string[] = [];
  /** Of what waits and of what is being written. */
  #length = 0;
  /** Lines that are being written. */
  #writing = 0;
  #working: Promise<void> | undefined;
  #failure: string | undefined;
  #isGivenUp = false;

  /** @param onDrop told of how many lines were lost */
  constructor(target: LineTarget, onDrop: (lines: number) => void) {
    this.#target = target;
    this.#onDrop = onDrop;
  }

  /** Why the last attempt to write failed, by the system's code; undefined while all works. */
  get failure(): string | undefined {
    return this.#failure ?? this.#target.trouble;
  }

  /** Takes one line, its end included. Never waits, never throws. */
  write(line: string): void {
    if (this.#isGivenUp || this.#length + line.length > maxWaiting) {
      this.#onDrop(1);
      return;
    }
    this.#waiting.push(line);
    this.#length += line.length;
    this.#working ??= this.#work();
  }

  /** Writes what waits, within `withinMs`; what is left then is dropped. */
  async close(withinMs: number): Promise<void> {
    const isLate = new AbortController();
    const late = sleep(withinMs, undefined, { signal: isLate.signal }).catch(() => {});
    await Promise.race([this.#working, late]);
    isLate.abort();
    this.#isGivenUp = true;
    const left = this.#waiting.length + this.#writing;
    this.#waiting = [];
    if (left > 0) this.#onDrop(left);
    await this.#target.close().catch(() => {});
  }

  async #work(): Promise<void> {
    // Lines of answers that are given in the same turn share a write.
    await Promise.resolve();
    for (let chunk = this.#take(); chunk !== undefined; chunk = this.#take()) {
      this.#writing = chunk.length;
      await this.#writeAll(Buffer.from(chunk.join('')));
      this.#writing = 0;
      this.#length -= chunk.reduce((sum, line) => sum + line.length, 0);
    }
    this.#working = undefined;
  }

  #take(): readonly string[] | undefined {
    if (this.#waiting.length === 0) return undefined;
    const most = Math.min(maxWrite, this.#target.maxWrite ?? maxWrite);
    let length = 0;
    const end = this.#waiting.findIndex((line) => {
      length += line.length;
      return length > most;
    });
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end));
  }

  /** Tries until everything is written, or the sink was closed. */
  async #writeAll(bytes: Uint8Array): Promise<void> {
    let retryMs = firstRetryMs;
    for (let at = 0; at < bytes.length && !this.#isGivenUp; ) {
      try {
        if (at === 0) await this.#target.prepare(bytes.length);
        at += await this.#target.write(bytes.subarray(at));
        retryMs = firstRetryMs;
        this.#failure = undefined;
      } catch (error) {
        this.#failure = errorCode(error);
        await sleep(retryMs, undefined, { ref: false });
        retryMs = Math.min(2 * retryMs, lastRetryMs);
      }
    }
  }
}

/** The system's code of an error: `ENOSPC`, `EAGAIN`. */
export function errorCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : 'unknown';
}
