import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The policy files that a list of files and folders names: `*.yaml` and `*.yml`, folders to any
 * depth, sorted by path. Names that begin with `..` are Kubernetes' own (the `..data` link and the
 * folders behind it) and are reached through their links. Throws where a named entry is not there.
 */
export function listPolicyFiles(entries: readonly string[]): readonly string[] {
  return entries.flatMap((entry) => (statSync(entry).isDirectory() ? walk(entry) : [entry]));
}

function walk(folder: string): readonly string[] {
  const names = readdirSync(folder).filter((name) => !name.startsWith('..'));
  return names.sort().flatMap((name) => {
    const path = join(folder, name);
    // A link that leads nowhere (yet) is no policy file.
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return walk(path);
    return found?.isFile() && /\.ya?ml$/.test(name) ? [path] : [];
  });
}
