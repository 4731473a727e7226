import type { ReplayStore, Spent } from './replay-store.js';

interface Entry {
  readonly request: string;
  readonly untilMs: number;
  /** The same moment on the clock that does not step, as it looked when the credential was spent. */
  readonly steadyUntilMs: number;
}

export interface StoreClocks {
  /** Epoch milliseconds: the clock that credentials expire by, which may step. */
  readonly nowMs: () => number;
  /** Milliseconds of a clock that does not step. */
  readonly monotonicMs: () => number;
}

const bucketMs = 1000;

/**
 * Single use within one process. When it is full it refuses and never forgets an entry before its
 * time. That has come when both clocks say so: after the wall clock stepped, either way, whatever is
 * accepted again by its dates is still known to be used. It forgets everything at a restart.
 * @param maxEntries how many credentials it remembers at once; asked each time
 */
export function memoryStore(maxEntries: () => number, clocks: StoreClocks): ReplayStore {
  const { nowMs, monotonicMs } = clocks;
  const entries = new Map<string, Entry>();
  // Keys by the second in which they may be forgotten, so that forgetting never walks all entries.
  const buckets = new Map<number, string[]>();
  let unavailable = 0;

  const isOver = ({ untilMs, steadyUntilMs }: Entry) =>
    nowMs() >= untilMs && monotonicMs() >= steadyUntilMs;
  const isKept = (key: string) => {
    const entry = entries.get(key);
    if (entry !== undefined && !isOver(entry)) return true;
    entries.delete(key);
    return false;
  };
  const forgetExpired = () => {
    const before = Math.floor(monotonicMs() / bucketMs);
    for (const [bucket, keys] of buckets) {
      if (bucket >= before) continue;
      const kept = keys.filter(isKept);
      if (kept.length === 0) buckets.delete(bucket);
      else buckets.set(bucket, kept);
    }
  };
  const remember = (credential: string, request: string, untilMs: number) => {
    const steadyUntilMs = monotonicMs() + untilMs - nowMs();
    entries.set(credential, { request, untilMs, steadyUntilMs });
    const bucket = Math.floor(steadyUntilMs / bucketMs);
    const keys = buckets.get(bucket);
    if (keys === undefined) buckets.set(bucket, [credential]);
    else keys.push(credential);
  };

  return {
    spend(credential, request, untilMs): Spent {
      const known = entries.get(credential);
      if (known !== undefined && !isOver(known)) {
        return known.request === request ? 'again' : 'used';
      }
      if (known === undefined && entries.size >= maxEntries()) forgetExpired();
      if (known === undefined && entries.size >= maxEntries()) {
        unavailable += 1;
        return 'unavailable';
      }
      remember(credential, request, untilMs);
      return 'first';
    },
    state() {
      forgetExpired();
      return { entries: entries.size, capacity: maxEntries(), unavailable };
    },
    close: () => Promise.resolve(),
  };
}
