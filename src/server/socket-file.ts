import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

/** Whoever may write to the socket may ask for decisions: owner and group, nobody else. */
const mode = 0o660;
/** What the kernel keeps of a path (unix(7), sun_path), without its last NUL. */
const maxPathBytes = 107;

/** The file of a unix socket that this process has bound. */
export interface SocketFile {
  /** Whether the path still leads here, to another process's socket, or nowhere. */
  leadsTo(): 'us' | 'another' | 'nothing';
  /** Removes the path as long as it leads here, and never another's. */
  remove(): void;
}

/**
 * Binds a unix socket to a path of its own beside PATH, with mode 0660 from its first moment, and
 * then moves it to PATH at once: whoever connects reaches either the one before or this one
 * (ENVOY-MEASURED.md 6). A stale socket (nobody answers) is replaced, anything that is no socket is
 * left alone. Rejects with a sentence for the operator.
 * @param takesOver whether a socket that another process answers on is taken over; refused otherwise
 * @param bind listens on the path it is given
 */
export async function bindSocketFile(
  path: string,
  takesOver: boolean,
  bind: (path: string) => Promise<void>,
): Promise<SocketFile> {
  const isStale = await inspect(path, takesOver);
  // Not the process id: in containers that share a volume, everybody is process 1.
  const own = `${path}.${randomBytes(3).toString('hex')}`;
  if (Buffer.byteLength(own) > maxPathBytes) {
    throw new Error(`${path} is longer than the 100 bytes that a socket's path may have`);
  }
  await withUmask(0o777 & ~mode, () => bind(own));
  chmodSync(own, mode);
  const { dev, ino } = lstatSync(own, { bigint: true });
  if (isStale) unlinkSync(path);
  if (takesOver) renameSync(own, path);
  else moveToFree(own, path);
  const leadsTo = () => {
    const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (found === undefined) return 'nothing';
    // An inode is not given anew while its socket is open, so the same numbers are the same socket.
    return found.dev === dev && found.ino === ino ? 'us' : 'another';
  };
  return {
    leadsTo,
    remove: () => {
      if (leadsTo() === 'us') unlinkSync(path);
    },
  };
}

/** The mask is the whole process's: it is set for the call alone, in which the file is made, and not awaited. */
function withUmask<T>(mask: number, call: () => T): T {
  const before = process.umask(mask);
  try {
    return call();
  } finally {
    process.umask(before);
  }
}

/** Whether there is a stale socket. */
async function inspect(path: string, takesOver: boolean): Promise<boolean> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined || takesOver) {
    if (found?.isSocket() === false) throw new Error(`${path} exists and is not a socket`);
    return false;
  }
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket`);
  if (!(await isAnswered(path))) return true;
  throw new Error(`${path} is in use by another process; --take-over takes it over`);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Unlike a rename, a link fails where another process was faster. */
function moveToFree(own: string, path: string): void {
  try {
    linkSync(own, path);
  } catch (error) {
    const isTaken = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw isTaken ? new Error(`${path} is in use by another process`) : error;
  } finally {
    unlinkSync(own);
  }
}
