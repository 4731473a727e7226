import type { Spent } from '../replay/replay-store.js';

/** One single-use credential that a worker asks the primary to mark as used. */
export interface Spending {
  readonly credential: string;
  readonly request: string;
  readonly untilMs: number;
  /** How many the store may hold, by the configuration that the worker has in force. */
  readonly maxEntries: number;
}

/** What the admin port asks every worker. */
export type Question =
  | { readonly about: 'ready' }
  | { readonly about: 'metrics' }
  | { readonly about: 'decision'; readonly decision: string };

/** From the primary to a worker. A connection itself travels beside its message. */
export type ToWorker =
  | { readonly kind: 'begin'; readonly number: number; readonly nonceSecret: string }
  | { readonly kind: 'connection' }
  | { readonly kind: 'question'; readonly id: number; readonly question: Question }
  | { readonly kind: 'spent'; readonly id: number; readonly spent: Spent }
  /** Health says NOT_SERVING from now on; calls go on being answered. */
  | { readonly kind: 'drain' }
  | { readonly kind: 'stop'; readonly graceMs: number };

/** From a worker to the primary. */
export type FromWorker =
  /** It listens to messages: `begin` is expected. */
  | { readonly kind: 'here' }
  | { readonly kind: 'serving'; readonly isServing: boolean }
  /** A connection that it was given has ended. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'spend'; readonly id: number; readonly spending: Spending };
