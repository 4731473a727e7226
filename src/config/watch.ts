import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface Watcher {
  /** Resolves when it has looked once: what changes from then on is told. */
  readonly ready: Promise<void>;
  close(): void;
}

const intervalMs = 200;

export interface WatchOptions {
  /** The signature of the paths before they were read, so that no change since then is missed. */
  readonly since?: string | undefined;
  /** Called when a change is seen that is going to be told. */
  readonly onSight?: () => void;
}

/**
 * Tells of any change of files and folders within half a second, by looking at them: real path,
 * inode, size and time of change. It sees in-place writes, renames, deletions, new files and
 * Kubernetes' swap of the `..data` link alike, on every file system. A change is told only once it
 * has looked the same twice, so that no half-written file is read.
 * @param paths asked anew each time: a reload may watch other files
 */
export function watchFiles(
  paths: () => readonly string[],
  onChange: () => void,
  { since, onSight }: WatchOptions = {},
): Watcher {
  let told = since;
  let last: string | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let isReady = () => {};
  const ready = new Promise<void>((resolve) => {
    isReady = resolve;
  });
  const look = async () => {
    const now = await signature(paths());
    isReady();
    if (closed) return;
    told ??= now;
    if (now !== told && now === last) {
      told = now;
      onChange();
    } else if (now !== told) onSight?.();
    last = now;
    timer = setTimeout(run, intervalMs);
  };
  const run = () => {
    look().catch(() => {
      if (!closed) timer = setTimeout(run, intervalMs);
    });
  };
  run();
  return {
    ready,
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** How files and folders look: another text when one of them was changed. */
export async function signature(paths: readonly string[]): Promise<string> {
  return (await Promise.all(paths.map(signatureOf))).join('\n');
}

async function signatureOf(path: string): Promise<string> {
  try {
    const found = await stat(path, { bigint: true });
    const own = `${await realpath(path)} ${found.ino} ${found.size} ${found.mtimeNs}`;
    if (!found.isDirectory()) return own;
    const names = (await readdir(path)).filter((name) => !name.startsWith('..')).sort();
    return `${own} ${await signature(names.map((name) => join(path, name)))}`;
  } catch {
    return `${path} is away`;
  }
}
