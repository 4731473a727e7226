import { readFileSync } from 'node:fs';
import type { Config } from '../config/config-schema.js';
import { processEnvironment } from '../config/environment.js';
import { parseConfig } from '../config/parse-config.js';
import type { Finding } from '../document/finding.js';
import { renderFindings } from '../document/render-findings.js';
import { type Arguments, type Io, Misuse, needed } from './command.js';

/** The configuration file that `-c` names; misuse when it is not there. */
export function configFile(args: Arguments): string {
  const file = needed(args, 'config');
  if (sourceOf(file) === undefined) {
    throw new Misuse(`there is no file ${file}: name the configuration with -c`);
  }
  return file;
}

/** The configuration, or undefined after its findings were said on stderr. */
export function readConfig(args: Arguments, io: Io): Config | undefined {
  const file = configFile(args);
  const parsed = parseConfig(file, sourceOf(file) ?? '', processEnvironment());
  if ('config' in parsed) return parsed.config;
  io.err(renderFindings(parsed, sourceOf));
  return undefined;
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
