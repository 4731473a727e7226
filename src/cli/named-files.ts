import { readFileSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import type { Config } from '../config/config-schema.js';
import { listPolicyFiles } from '../config/policy-files.js';
import { configMapKey, namedFiles } from '../render/config-files.js';
import { Misuse } from './command.js';
import { sourceOf } from './config-file.js';

/** The configuration and what it names → text; a file elsewhere, or one that is not there, is misuse. */
export function filesOf(config: Config, file: string, folder: string): ReadonlyMap<string, string> {
  const files = new Map([['countersign.yaml', sourceOf(file) ?? '']]);
  for (const path of namedFiles(config)) {
    if (isAbsolute(path) || relative('.', path).startsWith('..')) {
      throw new Misuse(`${path} lies outside of the configuration's folder`);
    }
    for (const named of list(join(folder, path))) {
      const below = relative(folder, named);
      files.set(below, readFileSync(named, 'utf8'));
    }
  }
  if (new Set([...files.keys()].map(configMapKey)).size < files.size) {
    throw new Misuse('two files have the same name as keys of a ConfigMap');
  }
  return files;
}

function list(path: string): readonly string[] {
  try {
    return listPolicyFiles([path]);
  } catch {
    throw new Misuse(`there is no file ${path}, which the configuration names`);
  }
}
