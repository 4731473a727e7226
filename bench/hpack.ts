/**
 * As much of HPACK (RFC 7541) as the load generator needs: it writes heads of its own, and reads
 * what a server or Envoy answers. Field names and values are printable ASCII.
 */
export type Head = ReadonlyMap<string, string>;
export type Field = readonly [name: string, value: string];

const entryOverhead = 32;
const defaultTableBytes = 4096;

/** RFC 7541, Appendix A; index 1 is at 0. */
const staticTable: readonly Field[] = `
:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https
:status 200|:status 204|:status 206|:status 304|:status 400|:status 404|:status 500
accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept
access-control-allow-origin|age|allow|authorization|cache-control|content-disposition
content-encoding|content-language|content-length|content-location|content-range|content-type
cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range
if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate
proxy-authorization|range|referer|refresh|retry-after|server|set-cookie
strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate`
  .trim()
  .split(/[|\n]/)
  .map((entry) => {
    const [, name = '', value = ''] = /^(\S+) ?(.*)$/.exec(entry) ?? [];
    return [name, value];
  });

/** Lengths of the codes of Appendix B for the bytes ' ' to '~'; the code is canonical. */
const huffmanLengths = [
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6,
  12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15,
  11, 14, 13,
];
/** Longest code of a printable byte that is read; the backslash (19 bits) is not. */
const maxCodeBits = 15;
const huffman = canonicalCodes();

function canonicalCodes(): ReadonlyMap<number, string> {
  const codes = new Map<number, string>();
  // The only other symbol this short is NUL: 13 bits, and before the printable ones of 13 bits.
  const symbols = [{ byte: 0, bits: 13 }].concat(
    huffmanLengths.map((bits, index) => ({ byte: index + 32, bits })),
  );
  let code = 0;
  let bits = 0;
  for (const symbol of symbols
    .filter((candidate) => candidate.bits <= maxCodeBits)
    .sort((a, b) => a.bits - b.bits || a.byte - b.byte)) {
    code <<= symbol.bits - bits;
    bits = symbol.bits;
    codes.set((1 << bits) | code, String.fromCharCode(symbol.byte));
    code += 1;
  }
  return codes;
}

function readHuffman(bytes: Uint8Array): string {
  let text = '';
  let code = 1;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit -= 1) {
      code = (code << 1) | ((byte >> bit) & 1);
      const found = huffman.get(code);
      if (found !== undefined) {
        text += found;
        code = 1;
      } else if (code >= 1 << (maxCodeBits + 1)) throw new Error('a Huffman code that is not read');
    }
  }
  return text;
}

/** Reads the heads of one direction of one connection, in their order. */
export class HeadReader {
  #dynamic: Field[] = [];
  #bytes = 0;
  #maxBytes = defaultTableBytes;
  /** Heads by their bytes, good as long as the dynamic table is the same. */
  #known = new Map<string, Head>();
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;

  read(block: Buffer): Head {
    const key = block.toString('latin1');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const before = this.#dynamic;
    const head = this.#decode(block);
    if (this.#dynamic === before) this.#known.set(key, head);
    else this.#known = new Map();
    return head;
  }

  #decode(block: Buffer): Head {
    this.#block = block;
    this.#at = 0;
    const head = new Map<string, string>();
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        this.#maxBytes = this.#integer(5);
        this.#dynamic = [...this.#dynamic];
        this.#evict();
        continue;
      }
      const field = (first & 0x80) !== 0 ? this.#field(this.#integer(7)) : this.#literal(first);
      head.set(field[0], field[1]);
    }
    return head;
  }

  #literal(first: number): Field {
    const isIndexed = (first & 0x40) !== 0;
    const index = this.#integer(isIndexed ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#field(index)[0];
    const field: Field = [name, this.#string()];
    if (isIndexed) {
      this.#dynamic = [field, ...this.#dynamic];
      this.#bytes += name.length + field[1].length + entryOverhead;
      this.#evict();
    }
    return field;
  }

  #evict(): void {
    while (this.#bytes > this.#maxBytes) {
      const [name, value] = this.#dynamic.pop() ?? ['', ''];
      this.#bytes -= name.length + value.length + entryOverhead;
    }
  }

  #field(index: number): Field {
    const field = staticTable[index - 1] ?? this.#dynamic[index - 1 - staticTable.length];
    if (field === undefined) throw new Error(`no header has the index ${index}`);
    return field;
  }

  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#byte() & mask;
    if (value < mask) return value;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  #string(): string {
    const isHuffman = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const bytes = this.#block.subarray(this.#at, this.#at + length);
    this.#at += length;
    return isHuffman ? readHuffman(bytes) : Buffer.from(bytes).toString('latin1');
  }

  #byte(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw new Error('a head that ends too early');
    this.#at += 1;
    return byte;
  }
}

/**
 * The block of one head that is sent again and again: the first time its fields go into the
 * server's dynamic table, from then on it is their indexes (as Envoy writes it).
 * @param tableBytes what the server lets the table have
 */
export function headBlocks(
  fields: readonly Field[],
  tableBytes: number,
): { readonly first: Buffer; readonly later: Buffer } {
  const first: number[] = [];
  const later: number[] = [];
  const isKept = tableBytes >= defaultTableBytes;
  if (!isKept) first.push(...integer(0x20, 5, 0));
  const added = fields.filter(([name, value]) => staticIndex(name, value) === undefined).length;
  let position = 0;
  for (const [name, value] of fields) {
    const whole = staticIndex(name, value);
    if (whole !== undefined) {
      first.push(...integer(0x80, 7, whole));
      later.push(...integer(0x80, 7, whole));
      continue;
    }
    const literal = [...nameOf(name, isKept), ...string(value)];
    first.push(...literal);
    // The newest entry has the lowest index.
    if (isKept) later.push(...integer(0x80, 7, staticTable.length + added - position));
    else later.push(...literal);
    position += 1;
  }
  return { first: Buffer.from(first), later: Buffer.from(later) };
}

function staticIndex(name: string, value: string): number | undefined {
  const at = staticTable.findIndex((entry) => entry[0] === name && entry[1] === value);
  return at < 0 ? undefined : at + 1;
}

function nameOf(name: string, isKept: boolean): readonly number[] {
  const index = staticTable.findIndex((entry) => entry[0] === name) + 1;
  const start = isKept ? integer(0x40, 6, index) : integer(0, 4, index);
  return index === 0 ? [...start, ...string(name)] : start;
}

function string(text: string): readonly number[] {
  return [...integer(0, 7, text.length), ...Buffer.from(text, 'latin1')];
}

function integer(pattern: number, prefixBits: number, value: number): readonly number[] {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return [pattern | value];
  const bytes = [pattern | mask];
  let rest = value - mask;
  while (rest >= 128) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  return [...bytes, rest];
}
