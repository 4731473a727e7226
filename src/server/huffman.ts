import { huffmanLengths } from './hpack-tables.js';

const endOfString = 256;
const longestPadding = 7;

/**
 * The code as a tree: two numbers a node, where to go on a 0 and on a 1. A number above 0 is a node,
 * one below is a leaf of the symbol -1 - number; 0 is no code.
 */
const tree = buildTree();

function buildTree(): Int32Array {
  const nodes = new Int32Array(2 * 512);
  let used = 1;
  let code = 0;
  for (let length = 1; length <= 30; length += 1) {
    code *= 2;
    for (const [symbol, bits] of huffmanLengths.entries()) {
      if (bits !== length) continue;
      let node = 0;
      for (let shift = length - 1; shift >= 0; shift -= 1) {
        const at = 2 * node + ((code >> shift) & 1);
        if (shift === 0) nodes[at] = -1 - symbol;
        else if ((nodes[at] ?? 0) === 0) {
          nodes[at] = used;
          node = used;
          used += 1;
        } else node = nodes[at] ?? 0;
      }
      code += 1;
    }
  }
  return nodes;
}

/**
 * Decodes a Huffman-coded string (RFC 7541 §5.2) as ISO 8859-1. Undefined where the padding is
 * longer than seven bits or not all ones, and where the string holds EOS.
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  let text = '';
  let node = 0;
  let depth = 0;
  let isOnes = true;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    for (let shift = 7; shift >= 0; shift -= 1) {
      const bit = (byte >> shift) & 1;
      const next = tree[2 * node + bit] ?? 0;
      if (next === 0) return undefined;
      if (next > 0) {
        node = next;
        depth += 1;
        isOnes = isOnes && bit === 1;
        continue;
      }
      if (-1 - next === endOfString) return undefined;
      text += String.fromCharCode(-1 - next);
      node = 0;
      depth = 0;
      isOnes = true;
    }
  }
  return depth <= longestPadding && isOnes ? text : undefined;
}
