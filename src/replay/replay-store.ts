/**
 * What became of one single-use credential. `first`: nobody used it before. `again`: this very
 * Check did (Envoy delivered the same bytes again). `used`: another request did. `unavailable`:
 * nothing is known, so nothing may be permitted.
 */
export type Spent = 'first' | 'again' | 'used' | 'unavailable';

export interface ReplayState {
  /** How many credentials are remembered; undefined where the store is not ours to count. */
  readonly entries: number | undefined;
  /** At how many it refuses; undefined: it has no such number. */
  readonly capacity: number | undefined;
  /** How often it answered `unavailable`. */
  readonly unavailable: number;
}

/** Single use means one request, not one Check (PRODUCT.md, Data files). Never throws. */
export interface ReplayStore {
  /**
   * Marks `credential` as used by `request`, atomically.
   * @param credential names one credential for ever: a digest, never the credential itself
   * @param request digest of the CheckRequest's bytes
   * @param untilMs epoch milliseconds from which the credential is refused anyway, so that the
   *   entry may be forgotten then and never before
   */
  spend(credential: string, request: string, untilMs: number): Spent | Promise<Spent>;
  state(): ReplayState;
  /** Releases what the store holds (a connection, a timer). */
  close(): Promise<void>;
}
