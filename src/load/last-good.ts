import type { Finding } from '../document/finding.js';
import type { Part } from './reading.js';

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
  #digest: string | undefined;
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

  /** Of the content that was taken last, good or bad. */
  get digest(): string | undefined {
    return this.#digest;
  }

  /** What is wrong with the files as they are now; empty while the value is what they say. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  tally(): LoadTally {
    return { name: this.name, good: this.#good, broken: this.#broken, isBroken: this.#isBroken };
  }

  /** @returns whether the value was replaced */
  take(part: Part<T>): boolean {
    if (part.state === 'same') return false;
    this.#digest = part.digest;
    this.#findings = part.state === 'good' ? part.warnings : part.findings;
    this.#isBroken = part.state === 'bad';
    if (part.state === 'good') {
      this.#value = part.value;
      this.#good += 1;
    } else this.#broken += 1;
    return part.state === 'good';
  }
}
