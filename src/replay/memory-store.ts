import type { ReplayStore, Spent } from './replay-store.js';

interface Entry {
  readonly request: string;
  readonly untilMs: number;
}

const bucketMs = 1000;

/**
 * Single use within one process. When it is full it refuses and never forgets an entry before its
 * time; its clock never steps back, so no entry is revived. It forgets everything at a restart.
 * @param maxEntries how many credentials it remembers at once; asked anew each time
 * @param nowMs epoch milliseconds
 */
export function memoryStore(maxEntries: () => number, nowMs: () => number): ReplayStore {
  const entries = new Map<string, Entry>();
  // Keys by the second in which they may be forgotten, so that forgetting never walks all entries.
  const buckets = new Map<number, string[]>();
  let now = 0;
  let unavailable = 0;

  const forgetExpired = () => {
    const before = Math.floor(now / bucketMs);
    for (const [bucket, keys] of buckets) {
      if (bucket >= before) continue;
      for (const key of keys) {
        if ((entries.get(key)?.untilMs ?? 0) <= now) entries.delete(key);
      }
      buckets.delete(bucket);
    }
  };

  return {
    spend(credential, request, untilMs): Spent {
      now = Math.max(now, nowMs());
      const known = entries.get(credential);
      if (known !== undefined && known.untilMs > now) {
        return known.request === request ? 'again' : 'used';
      }
      if (known === undefined && entries.size >= maxEntries()) forgetExpired();
      if (known === undefined && entries.size >= maxEntries()) {
        unavailable += 1;
        return 'unavailable';
      }
      entries.set(credential, { request, untilMs });
      const bucket = Math.floor(untilMs / bucketMs);
      const keys = buckets.get(bucket);
      if (keys === undefined) buckets.set(bucket, [credential]);
      else keys.push(credential);
      return 'first';
    },
    state() {
      now = Math.max(now, nowMs());
      forgetExpired();
      return { entries: entries.size, capacity: maxEntries(), unavailable };
    },
    close: () => Promise.resolve(),
  };
}
