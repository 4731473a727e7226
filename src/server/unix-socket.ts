import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

/** Whoever may write to the socket may ask for decisions: owner and group, nobody else. */
const mode = 0o660;

/**
 * Makes a socket's path free: a stale socket (nobody answers) is removed, a live one is refused, and
 * anything that is no socket is left alone. Rejects with a sentence for the operator.
 */
export async function clearSocketPath(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket`);
  if (await isAnswered(path)) throw new Error(`${path} is in use by another process`);
  unlinkSync(path);
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

/** Runs `bind` so that the socket never exists with a wider mode than 0660. */
export async function withSocketMode<T>(path: string, bind: () => Promise<T>): Promise<T> {
  const before = process.umask(0o777 & ~mode);
  try {
    const bound = await bind();
    chmodSync(path, mode);
    return bound;
  } finally {
    process.umask(before);
  }
}
