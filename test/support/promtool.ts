import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { it } from 'mocha';

/** Prometheus' own checker, of Debian's package prometheus; CI installs it, so there its absence is a failure. */
const isThere = spawnSync('promtool', ['--version']).error === undefined;
export const itWithPromtool = isThere || process.env['CI'] === 'true' ? it : it.skip;

export function runPromtool(args: readonly string[], input = ''): SpawnSyncReturns<string> {
  const done = spawnSync('promtool', args, { input, encoding: 'utf8' });
  if (done.error !== undefined) throw new Error('promtool is needed: apt-get install prometheus');
  return done;
}
