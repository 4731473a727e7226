import type { Config } from '../config/config-schema.js';
import { processEnvironment } from '../config/environment.js';
import { parseConfig } from '../config/parse-config.js';
import { renderFindings } from '../document/render-findings.js';
import type { Arguments, Io } from './command.js';
import { configFile, sourceOf } from './config-file.js';

/** The configuration, or undefined after its findings were said on stderr. */
export function readConfig(args: Arguments, io: Io): Config | undefined {
  const file = configFile(args);
  const parsed = parseConfig(file, sourceOf(file) ?? '', processEnvironment());
  if ('config' in parsed) return parsed.config;
  io.err(renderFindings(parsed, sourceOf));
  return undefined;
}
