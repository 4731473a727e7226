import { createKeySet } from './jwks.js';
import type { KeySet, KeySource } from './key-source.js';

/** What may be asked for keys here: a key source, or one trust domain of a bundle source. */
export type KeysInForce = Pick<KeySource, 'current'>;

/**
 * The keys of `source` while none of them is a key of `others` as well, compared whenever one of the
 * sets has changed; else no key at all, so that nothing verifies. Sources by URL get their keys late
 * and get other ones later, so that no one time is right for comparing.
 */
export function distinctKeys(source: KeySource, others: readonly KeysInForce[]): KeySource {
  const nothing = createKeySet([]);
  let seen: { readonly generations: string; readonly keys: KeySet } | undefined;
  return {
    current() {
      const keys = source.current();
      if (!('generation' in keys)) return keys;
      const rest = others.map((other) => other.current()).filter((other) => 'generation' in other);
      const generations = [keys, ...rest].map(({ generation }) => generation).join();
      if (seen?.generations !== generations) {
        seen = { generations, keys: isShared(keys, rest) ? nothing : keys };
      }
      return seen.keys;
    },
    missing: (kid) => source.missing(kid),
    close: () => source.close(),
  };
}

function isShared({ keys }: KeySet, others: readonly KeySet[]): boolean {
  const known = new Set(others.flatMap((other) => other.keys.map(({ thumbprint }) => thumbprint)));
  return keys.some(({ thumbprint }) => known.has(thumbprint));
}
