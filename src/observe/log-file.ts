import { constants, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode, type LineTarget } from './line-sink.js';

export interface Rotation {
  /** Bytes; a write that would make the file longer goes to a new one. */
  readonly maxSize: number;
  /** How many full files are kept: PATH.1 is the youngest. */
  readonly keep: number;
}

/** How often it looks whether somebody else moved the file away. */
const lookMs = 1_000;
/** Without O_NONBLOCK a FIFO that nobody reads would hold a thread of the process for ever. */
const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
const mode = 0o640;

/**
 * A log file. It rotates by size; when another program moved or removed it (logrotate), the next
 * write after a second, or after `reopen`, goes to a new file of that name. Several processes may
 * append to one file: who finds it rotated by another goes on in the new one.
 * @param monotonicMs milliseconds of a clock that does not step back
 */
export class LogFile implements LineTarget {
  readonly #path: string;
  readonly #rotation: Rotation;
  readonly #monotonicMs: () => number;
  #handle: FileHandle | undefined;
  #size = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #trouble: string | undefined;

  constructor(path: string, rotation: Rotation, monotonicMs: () => number) {
    this.#path = path;
    this.#rotation = rotation;
    this.#monotonicMs = monotonicMs;
  }

  get maxWrite(): number {
    return this.#rotation.maxSize;
  }

  /** Why the file could not be rotated; it grows meanwhile. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** The next write looks whether the file is still the one of that name. */
  reopen(): void {
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
  }

  async prepare(bytes: number): Promise<void> {
    const now = this.#monotonicMs();
    if (this.#handle === undefined || now - this.#lookedAtMs >= lookMs) {
      if (!(await this.#isCurrent())) await this.#open();
      this.#lookedAtMs = now;
    }
    if (this.#size === 0 || this.#size + bytes <= this.#rotation.maxSize) return;
    if (await this.#isCurrent()) await this.#rotate();
    await this.#open();
  }

  async write(bytes: Uint8Array): Promise<number> {
    const handle = this.#handle ?? (await this.#open());
    const { bytesWritten } = await handle.write(bytes);
    this.#size += bytesWritten;
    return bytesWritten;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  /** Whether the file that is open is the one that now has the name; takes its size anew. */
  async #isCurrent(): Promise<boolean> {
    const own = await this.#handle?.stat();
    const named = await stat(this.#path).catch(() => undefined);
    this.#size = sizeOf(own);
    return own !== undefined && named?.ino === own.ino && named.dev === own.dev;
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true });
    const handle = await open(this.#path, flags, mode);
    await this.close();
    this.#handle = handle;
    this.#size = sizeOf(await handle.stat());
    return handle;
  }

  /** PATH.1 becomes PATH.2 and so on; the oldest is overwritten. A record counts more than the size. */
  async #rotate(): Promise<void> {
    try {
      for (let number = this.#rotation.keep - 1; number >= 1; number -= 1) {
        await rename(`${this.#path}.${number}`, `${this.#path}.${number + 1}`).catch(ignoreAbsent);
      }
      await rename(this.#path, `${this.#path}.1`);
      this.#trouble = undefined;
    } catch (error) {
      this.#trouble = `not rotated: ${errorCode(error)}`;
    }
  }
}

/** A pipe or a device is never full. */
function sizeOf(found: Stats | undefined): number {
  return found?.isFile() === true ? found.size : 0;
}

function ignoreAbsent(error: unknown): void {
  if (errorCode(error) !== 'ENOENT') throw error;
}
