import { readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * What files and folders look like now: the same text twice means that nothing was written, renamed
 * or swapped in between. The folder that a file is named in counts as well: Kubernetes' swap of its
 * `..data` link changes it, even where the link leads back to where it led before.
 */
export function fingerprint(paths: readonly string[]): string {
  return paths.map((path) => `${timesOf(dirname(path))} ${fingerprintOf(path)}`).join('\n');
}

function fingerprintOf(path: string): string {
  try {
    const found = statSync(path, { bigint: true });
    const own = `${realpathSync(path)} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
    if (!found.isDirectory()) return own;
    const names = readdirSync(path).filter((name) => !name.startsWith('..'));
    return [own, ...names.sort().map((name) => fingerprintOf(join(path, name)))].join('\n');
  } catch {
    return `${path} is away`;
  }
}

function timesOf(folder: string): string {
  const found = statSync(folder, { bigint: true, throwIfNoEntry: false });
  return `${found?.ino} ${found?.mtimeNs} ${found?.ctimeNs}`;
}
