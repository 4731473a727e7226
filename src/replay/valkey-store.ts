import type { ReplayStore, Spent } from './replay-store.js';

/** How far the clocks of a fleet may be apart: what one calls expired another still accepts so long. */
const skewMs = 60_000;

/**
 * Single use shared by a fleet: one atomic `SET NX PX GET` on a Valkey or Redis (7.0 or newer). A
 * store that is away, slow or full of other things answers `unavailable`, and nothing is permitted
 * on it. The client is loaded only where this store is configured.
 * @param nowMs epoch milliseconds
 * @param timeoutMs how long one answer is waited for
 */
export function valkeyStore(url: string, nowMs: () => number, timeoutMs: number): ReplayStore {
  const connecting = connect(url, timeoutMs);
  let unavailable = 0;
  return {
    async spend(credential, request, untilMs): Promise<Spent> {
      const lifeMs = Math.max(1, Math.ceil(untilMs - nowMs() + skewMs));
      try {
        const client = await connecting;
        const key = `countersign:used:${credential}`;
        const before = await client.call('SET', key, request, 'NX', 'GET', 'PX', String(lifeMs));
        if (before === null) return 'first';
        return before === request ? 'again' : 'used';
      } catch {
        unavailable += 1;
        return 'unavailable';
      }
    },
    state: () => ({ entries: undefined, capacity: undefined, unavailable }),
    close: async () => (await connecting).disconnect(),
  };
}

async function connect(url: string, timeoutMs: number) {
  const { Redis } = await import('iovalkey');
  const client = new Redis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
    commandTimeout: timeoutMs,
    retryStrategy: (tries: number) => Math.min(1_000, 50 * tries),
  });
  // How it is shows in every answer; an `error` event that nobody hears would end the process.
  client.on('error', () => {});
  return client;
}
