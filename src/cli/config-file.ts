import { readFileSync } from 'node:fs';
import type { Finding } from '../document/finding.js';
import { type Arguments, Misuse, needed } from './command.js';

/** The configuration file that `-c` names; misuse when it is not there. */
export function configFile(args: Arguments): string {
  const file = needed(args, 'config');
  if (sourceOf(file) === undefined) {
    throw new Misuse(`there is no file ${file}: name the configuration with -c`);
  }
  return file;
}

/** The text of a file, for excerpts; undefined when it cannot be read. */
export function sourceOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

export function countOf(findings: readonly Finding[], severity: Finding['severity']): number {
  return findings.filter((finding) => finding.severity === severity).length;
}
