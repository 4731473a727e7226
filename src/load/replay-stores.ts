import type { Config } from '../config/config-schema.js';
import { memoryStore, type StoreClocks } from '../replay/memory-store.js';
import type { ReplayStore } from '../replay/replay-store.js';
import { valkeyStore } from '../replay/valkey-store.js';

export interface ReplayStoresOptions {
  readonly clocks: StoreClocks;
  /** Of the memory store: the limit in force. */
  readonly maxEntries: () => number;
  /** How long a Check waits for a store that is elsewhere. */
  readonly withinMs: () => number;
  /** Makes the store behind `store: memory` where processes share one. */
  readonly shared: ((maxEntries: () => number, withinMs: () => number) => ReplayStore) | undefined;
}

/** The replay store that the configuration asks for; the same one as long as it asks for the same. */
export class ReplayStores {
  readonly #clocks: StoreClocks;
  // One for ever, with the limit in force: a reload forgets nothing that was spent.
  readonly #memory: ReplayStore;
  #remote: { readonly key: string; readonly store: ReplayStore } | undefined;

  constructor({ clocks, maxEntries, withinMs, shared }: ReplayStoresOptions) {
    this.#clocks = clocks;
    this.#memory = shared?.(maxEntries, withinMs) ?? memoryStore(maxEntries, clocks);
  }

  of({ replay, deadline }: Config): ReplayStore {
    const url = replay.store === 'valkey' ? replay.url : undefined;
    const key = url === undefined ? undefined : JSON.stringify([url, deadline]);
    if (key === undefined || this.#remote?.key !== key) {
      void this.#remote?.store.close();
      this.#remote =
        key === undefined || url === undefined
          ? undefined
          : { key, store: valkeyStore(url, this.#clocks.nowMs, deadline / 2) };
    }
    return this.#remote?.store ?? this.#memory;
  }

  /** Another store is made when one is asked for again. */
  async close(): Promise<void> {
    const store = this.#remote?.store;
    this.#remote = undefined;
    await store?.close();
  }
}
