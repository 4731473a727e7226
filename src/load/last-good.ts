import type { Finding } from '../document/finding.js';
import type { Part } from './reading.js';

/**
 * Holds the last good value of one thing that is loaded from files: a broken load is kept as
 * findings and never replaces the value (PRODUCT.md, principle 5).
 */
export class LastGood<T> {
  readonly name: string;
  #value: T | undefined;
  #digest: string | undefined;
  #findings: readonly Finding[] = [];

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

  /** @returns whether the value was replaced */
  take(part: Part<T>): boolean {
    if (part.state === 'same') return false;
    this.#digest = part.digest;
    this.#findings = part.state === 'good' ? part.warnings : part.findings;
    if (part.state === 'good') this.#value = part.value;
    return part.state === 'good';
  }
}
