import { randomUUID } from 'node:crypto';

/** An answer with the places where its decision id stands. */
interface Compiled {
  readonly bytes: Buffer;
  readonly idsAt: readonly number[];
}

export interface AnswerCache {
  /**
   * The answer for `key` with `decisionId` in it. `encode` is asked once per key, for an answer that
   * differs from every other of the key by the decision id alone.
   */
  answer(key: string, decisionId: string, encode: (decisionId: string) => Uint8Array): Uint8Array;
}

/** Of a policy of ten thousand rules each has its own. */
const maxEntries = 16_384;

/**
 * Answers encoded once and stamped with each decision's id: most of what an answer says is known
 * from the rule and the principal. The id that marks the places is random, so that nothing a caller
 * sends can look like one.
 */
export function createAnswerCache(): AnswerCache {
  const compiled = new Map<string, Compiled>();
  const placeholder = randomUUID();
  return {
    answer(key, decisionId, encode) {
      // Another length would move what is behind it.
      if (decisionId.length !== placeholder.length) return encode(decisionId);
      let known = compiled.get(key);
      if (known === undefined) {
        known = compile(encode(placeholder), placeholder);
        if (compiled.size >= maxEntries) compiled.clear();
        compiled.set(key, known);
      }
      const bytes = Buffer.from(known.bytes);
      for (const at of known.idsAt) bytes.write(decisionId, at, 'latin1');
      return bytes;
    },
  };
}

function compile(encoded: Uint8Array, placeholder: string): Compiled {
  // Not a part of a shared pool, all of which a part that is kept would keep.
  const bytes = Buffer.allocUnsafeSlow(encoded.length);
  bytes.set(encoded);
  const idsAt: number[] = [];
  for (let at = bytes.indexOf(placeholder); at >= 0; at = bytes.indexOf(placeholder, at + 1)) {
    idsAt.push(at);
  }
  return { bytes, idsAt };
}
