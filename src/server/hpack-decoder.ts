import { type HeaderField, staticTable } from './hpack-tables.js';
import { decodeHuffman } from './huffman.js';

/** What SETTINGS_HEADER_TABLE_SIZE is when nobody says otherwise; we never do (RFC 9113 §6.5.2). */
const maxTableBytes = 4096;
/** RFC 7541 §4.1: what an entry counts beside its text. */
const entryOverhead = 32;
const maxInteger = 2 ** 24;

/**
 * Decodes header blocks of one connection (RFC 7541). A block that cannot be decoded leaves the
 * table unknown: the connection has to end then (RFC 9113 §4.3).
 */
export class HpackDecoder {
  readonly #maxListBytes: number;
  /** The dynamic table, newest first. */
  readonly #table: HeaderField[] = [];
  #tableBytes = 0;
  #tableLimit = maxTableBytes;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;
  /** The last block, if it left the table as it was, and what it says: clients repeat themselves. */
  #last: { readonly block: Buffer; readonly fields: readonly HeaderField[] } | undefined;

  /** @param maxListBytes most that the fields of one block may count together */
  constructor(maxListBytes: number) {
    this.#maxListBytes = maxListBytes;
  }

  /** The fields in their order, or undefined for a block that cannot be decoded, or is too long. */
  decode(block: Buffer): readonly HeaderField[] | undefined {
    if (this.#last?.block.equals(block)) return this.#last.fields;
    this.#last = undefined;
    this.#block = block;
    this.#at = 0;
    const fields: HeaderField[] = [];
    let bytes = 0;
    let changesTable = false;
    while (this.#at < block.length) {
      const first = block[this.#at] ?? 0;
      if ((first & 0xe0) === 0x20) {
        if (fields.length > 0 || !this.#resize()) return undefined;
        changesTable = true;
        continue;
      }
      const field = this.#readField(first);
      if (field === undefined) return undefined;
      bytes += sizeOf(field);
      if (bytes > this.#maxListBytes) return undefined;
      fields.push(field);
      if ((first & 0xc0) !== 0x40) continue;
      this.#insert(field);
      changesTable = true;
    }
    // A copy: the block is a part of what was read, which would be kept whole.
    if (!changesTable) this.#last = { block: Buffer.from(block), fields };
    return fields;
  }

  /** One field: indexed (§6.1), or a literal with, without and never indexing (§6.2). */
  #readField(first: number): HeaderField | undefined {
    const isIndexed = (first & 0x80) !== 0;
    const prefixBits = isIndexed ? 7 : (first & 0xc0) === 0x40 ? 6 : 4;
    const index = this.#readInteger(prefixBits);
    if (index === undefined) return undefined;
    if (isIndexed) return this.#entry(index);
    const name = index === 0 ? this.#readString() : this.#entry(index)?.[0];
    const value = name === undefined ? undefined : this.#readString();
    return name === undefined || value === undefined ? undefined : [name, value];
  }

  #entry(index: number): HeaderField | undefined {
    return index <= staticTable.length
      ? staticTable[index - 1]
      : this.#table[index - staticTable.length - 1];
  }

  #insert(field: HeaderField): void {
    this.#table.unshift(field);
    this.#tableBytes += sizeOf(field);
    this.#evict();
  }

  #evict(): void {
    while (this.#tableBytes > this.#tableLimit) {
      const oldest = this.#table.pop();
      if (oldest === undefined) return;
      this.#tableBytes -= sizeOf(oldest);
    }
  }

  /** §6.3: a dynamic table size update, only before the first field and within our limit. */
  #resize(): boolean {
    const limit = this.#readInteger(5);
    if (limit === undefined || limit > maxTableBytes) return false;
    this.#tableLimit = limit;
    this.#evict();
    return true;
  }

  /** §5.1. */
  #readInteger(prefixBits: number): number | undefined {
    const mask = 2 ** prefixBits - 1;
    let value = (this.#block[this.#at] ?? 0) & mask;
    this.#at += 1;
    if (value < mask) return value;
    for (let scale = 1; scale <= maxInteger; scale *= 128) {
      const byte = this.#block[this.#at];
      if (byte === undefined) return undefined;
      this.#at += 1;
      value += (byte & 127) * scale;
      if (byte < 128) return value <= maxInteger ? value : undefined;
    }
    return undefined;
  }

  /** §5.2: the text as ISO 8859-1, Huffman-coded or as it is. */
  #readString(): string | undefined {
    const first = this.#block[this.#at];
    if (first === undefined) return undefined;
    const length = this.#readInteger(7);
    const start = this.#at;
    if (length === undefined || start + length > this.#block.length) return undefined;
    this.#at += length;
    return (first & 0x80) !== 0
      ? decodeHuffman(this.#block, start, this.#at)
      : this.#block.toString('latin1', start, this.#at);
  }
}

function sizeOf([name, value]: HeaderField): number {
  return name.length + value.length + entryOverhead;
}
