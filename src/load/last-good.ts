import type { Finding } from '../document/finding.js';

/** What one load gave: a value, or everything that is wrong with its files. */
export type Loaded<T> =
  | { readonly ok: true; readonly value: T; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** How the loads of one thing went. */
export interface LoadTally {
  readonly name: string;
  /** Contents so far that were good, and broken. */
  readonly good: number;
  readonly broken: number;
  /** Whether the content as it is now is broken. */
  readonly isBroken: boolean;
}

/**
 * Holds the last good value of one thing that is loaded from files: a broken load is kept as
 * findings and never replaces the value (PRODUCT.md, principle 5).
 */
export class LastGood<T> {
  readonly name: string;
  #value: T | undefined;
  #key: string | undefined;
  #findings: readonly Finding[] = [];
  #good = 0;
  #broken = 0;
  #isBroken = false;

  constructor(name: string) {
    this.name = name;
  }

  get value(): T | undefined {
    return this.#value;
  }

  /** What is wrong with the files as they are now; empty while the value is what they say. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  tally(): LoadTally {
    return { name: this.name, good: this.#good, broken: this.#broken, isBroken: this.#isBroken };
  }

  /**
   * Loads again when `key` (the content that the value comes from) is not the last one.
   * @returns whether the value was replaced
   */
  refresh(key: string, load: () => Loaded<T>): boolean {
    if (key === this.#key) return false;
    this.#key = key;
    const loaded = load();
    this.#findings = loaded.ok ? loaded.warnings : loaded.findings;
    this.#isBroken = !loaded.ok;
    if (loaded.ok) {
      this.#value = loaded.value;
      this.#good += 1;
    } else this.#broken += 1;
    return loaded.ok;
  }
}
