import { isAscii } from 'node:buffer';
import type { Decoded } from './decoded.js';

/** Wire types of the encoding; groups are of old messages, and only ever skipped. */
export const wire = {
  varint: 0,
  fixed64: 1,
  delimited: 2,
  startGroup: 3,
  endGroup: 4,
  fixed32: 5,
} as const;

/** Deepest nesting that is read; the Structs in a CheckRequest have a smaller bound of their own. */
const maxDepth = 250;
const maxVarintBytes = 10;
const shortBytes = 48;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads the fields of one message, and of those inside of it, in their order (Protocol Buffers,
 * Encoding). Whatever is not as it must be raises `Malformed`, which `decode` alone catches.
 */
export class Reader {
  readonly #bytes: Buffer;
  /** The whole message as ISO 8859-1, of which every text in it is a part. */
  readonly #text: string;
  #at = 0;
  #end: number;
  #depth = 0;
  #field = 0;
  #wireType = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#text = this.#bytes.toString('latin1');
    this.#end = bytes.length;
  }

  /** Goes to the next field of the message it stands in; false at its end. */
  nextField(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.#field = Math.floor(tag / 8);
    this.#wireType = tag % 8;
    if (this.#field === 0 || tag > 0xffff_ffff) malformed('a field has no number');
    return true;
  }

  get field(): number {
    return this.#field;
  }

  skipField(): void {
    const { varint, fixed64, delimited, startGroup, fixed32 } = wire;
    if (this.#wireType === delimited) this.#take(this.#length());
    else if (this.#wireType === varint) this.#varint();
    else if (this.#wireType === fixed64) this.#take(8);
    else if (this.#wireType === fixed32) this.#take(4);
    else if (this.#wireType === startGroup) this.#skipGroup(this.#field);
    else malformed('a field has no wire type that there is');
  }

  #skipGroup(number: number): void {
    this.#descend();
    while (this.nextField()) {
      if (this.#wireType !== wire.endGroup) this.skipField();
      else if (this.#field === number) {
        this.#depth -= 1;
        return;
      } else malformed('a group ends that did not begin');
    }
    malformed('a group does not end');
  }

  /** A string: UTF-8, or malformed. */
  string(): string {
    this.#expect(wire.delimited);
    const start = this.#take(this.#length());
    if (this.#isAscii(start)) return this.#text.substring(start, this.#at);
    try {
      return utf8.decode(this.#bytes.subarray(start, this.#at));
    } catch {
      return malformed('a string is not UTF-8');
    }
  }

  /** Whether all from `start` to where it stands is ASCII; a call of the library pays for long texts alone. */
  #isAscii(start: number): boolean {
    if (this.#at - start > shortBytes) return isAscii(this.#bytes.subarray(start, this.#at));
    for (let at = start; at < this.#at; at += 1) if ((this.#bytes[at] ?? 0) > 127) return false;
    return true;
  }

  /** Bytes, each as the character of its number (ISO 8859-1). */
  latin1(): string {
    this.#expect(wire.delimited);
    const start = this.#take(this.#length());
    return this.#text.substring(start, this.#at);
  }

  /** Bytes, in place: not a copy. */
  bytes(): Uint8Array {
    this.#expect(wire.delimited);
    const start = this.#take(this.#length());
    const { buffer, byteOffset } = this.#bytes;
    return new Uint8Array(buffer, byteOffset + start, this.#at - start);
  }

  /** Reads a message inside of this one; `read` sees its fields alone. */
  message<T>(read: (reader: Reader) => T): T {
    this.#expect(wire.delimited);
    const length = this.#length();
    const outer = this.#end;
    const end = this.#at + length;
    if (end > outer) malformed('a field is cut');
    this.#descend();
    this.#end = end;
    const value = read(this);
    this.#at = end;
    this.#end = outer;
    this.#depth -= 1;
    return value;
  }

  bool(): boolean {
    this.#expect(wire.varint);
    return this.#varint() !== 0;
  }

  uint32(): number {
    this.#expect(wire.varint);
    return this.#int64().low;
  }

  /** int32 and enums: their low 32 bits, signed. */
  int32(): number {
    this.#expect(wire.varint);
    return this.#int64().low | 0;
  }

  /** Beyond 2^53 not exact. */
  int64(): number {
    this.#expect(wire.varint);
    const { high, low } = this.#int64();
    return (high | 0) * 2 ** 32 + low;
  }

  double(): number {
    this.#expect(wire.fixed64);
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType) malformed('a field has the wrong wire type');
  }

  #descend(): void {
    this.#depth += 1;
    if (this.#depth > maxDepth) malformed(`messages are nested deeper than ${maxDepth}`);
  }

  #length(): number {
    return this.#varint();
  }

  /** Goes over so many bytes of this message; gives where they begin. */
  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) malformed('a field is cut');
    this.#at = start + length;
    return start;
  }

  /** An unsigned varint; beyond 2^53 not exact. */
  #varint(): number {
    const first = this.#bytes[this.#at] ?? 0;
    if (first < 128 && this.#at < this.#end) {
      this.#at += 1;
      return first;
    }
    const second = this.#bytes[this.#at + 1] ?? 0;
    if (second < 128 && this.#at + 1 < this.#end) {
      this.#at += 2;
      return (second << 7) | (first & 127);
    }
    const { high, low } = this.#int64();
    return high * 2 ** 32 + low;
  }

  /** A varint as two unsigned halves of 32 bits. */
  #int64(): { readonly high: number; readonly low: number } {
    let low = 0;
    let high = 0;
    for (let index = 0; index < maxVarintBytes; index += 1) {
      if (this.#at >= this.#end) malformed('a field is cut');
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      const bits = byte & 127;
      if (index < 4) low += bits * 2 ** (7 * index);
      else if (index === 4) {
        low += (bits & 15) * 2 ** 28;
        high += bits >> 4;
      } else if (index < maxVarintBytes - 1) high += bits * 2 ** (7 * index - 32);
      else high += (bits & 1) * 2 ** 31;
      if (byte < 128) return { high, low };
    }
    return malformed('a number has more than 64 bits');
  }
}

/** Raised inside the decoders and caught in `decode` alone. */
class Malformed extends Error {}

export function malformed(reason: string): never {
  throw new Malformed(reason);
}

/**
 * Runs a decoder over one message. Total: whatever the bytes are, a value or a reason without any
 * of their content.
 */
export function decode<T>(bytes: Uint8Array, read: (reader: Reader) => T): Decoded<T> {
  try {
    return { ok: true, value: read(new Reader(bytes)) };
  } catch (error) {
    return {
      ok: false,
      reason: error instanceof Malformed ? error.message : 'not a protobuf message',
    };
  }
}

/**
 * Walks the fields of the message the reader stands in. `visit` reads the field and gives true, or
 * gives false for a field it does not know, which is skipped.
 */
export function readFields(reader: Reader, visit: (field: number) => boolean): void {
  while (reader.nextField()) {
    if (!visit(reader.field)) reader.skipField();
  }
}

/** Reads a singular submessage. The same field twice is refused: merging is another reading. */
export function readOnce<T>(reader: Reader, before: T | undefined, read: (reader: Reader) => T): T {
  if (before !== undefined) malformed('a submessage is given twice');
  return reader.message(read);
}

export function readString(reader: Reader): string {
  return reader.string();
}

export function readBytes(reader: Reader): Uint8Array {
  return reader.bytes();
}

/** Reads one entry of a `map<string, V>` into `map`; the last entry of a key wins. */
export function readMapEntry<V>(
  reader: Reader,
  map: Map<string, V>,
  absent: V,
  readValue: (reader: Reader) => V,
): void {
  let key = '';
  let value = absent;
  reader.message((entry) => {
    readFields(entry, (field) => {
      if (field === 1) key = entry.string();
      else if (field === 2) value = readValue(entry);
      else return false;
      return true;
    });
  });
  map.set(key, value);
}
