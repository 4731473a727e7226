import type { LoadTally } from './last-good.js';

export interface LoadState extends LoadTally {
  /** When the content in force was loaded, epoch milliseconds; undefined: none ever was good. */
  readonly loadedAtMs: number | undefined;
}

/**
 * How everything that is loaded from files does, told after each load. What has the same name (two
 * key files of one issuer, after the configuration changed) is one thing.
 */
export function nextLoadStates(
  before: readonly LoadState[],
  tallies: readonly LoadTally[],
  nowMs: number,
): readonly LoadState[] {
  const names = [...new Set(tallies.map(({ name }) => name))];
  return names.map((name) => {
    const own = tallies.filter((tally) => tally.name === name);
    const known = before.find((state) => state.name === name);
    const good = own.reduce((sum, tally) => sum + tally.good, 0);
    return {
      name,
      good,
      broken: own.reduce((sum, tally) => sum + tally.broken, 0),
      isBroken: own.some(({ isBroken }) => isBroken),
      loadedAtMs: good === (known?.good ?? 0) ? known?.loadedAtMs : nowMs,
    };
  });
}
