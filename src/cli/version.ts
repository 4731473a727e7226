import { readFileSync } from 'node:fs';

const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
const version = /"version": "([^"]+)"/.exec(text)?.[1] ?? 'unknown';

/** The version of the program, from the package.json that it came with. */
export function programVersion(): string {
  return version;
}
