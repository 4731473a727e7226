import protobuf from 'google-protobuf';
import type { Decoded } from './decoded.js';

/** The part of google-protobuf's reader that the codecs use. */
export interface Reader {
  nextField(): boolean;
  isEndGroup(): boolean;
  getFieldNumber(): number;
  getWireType(): number;
  skipField(): void;
  readStringRequireUtf8(): string;
  readBytes(): Uint8Array;
  readInt32(): number;
  readInt64(): number;
  readUint32(): number;
  readEnum(): number;
  readBool(): boolean;
  readDouble(): number;
  readMessage(message: null, read: (message: null, reader: Reader) => void): void;
}

/** Wire types of the encoding: varint, 64 bit, length-delimited. */
export const wire = { varint: 0, fixed64: 1, delimited: 2 } as const;

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
    const reader: unknown = new protobuf.BinaryReader(bytes);
    return { ok: true, value: read(reader as Reader) };
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
    if (reader.isEndGroup()) return;
    if (!visit(reader.getFieldNumber())) reader.skipField();
  }
}

/** Reads a singular submessage. The same field twice is refused: merging is another reading. */
export function readOnce<T>(reader: Reader, before: T | undefined, read: (reader: Reader) => T): T {
  if (before !== undefined) malformed('a submessage is given twice');
  return readMessage(reader, read);
}

export function readMessage<T>(reader: Reader, read: (reader: Reader) => T): T {
  expectWire(reader, wire.delimited);
  let value: { readonly read: T } | undefined;
  reader.readMessage(null, (_, inner) => {
    value = { read: read(inner) };
  });
  return value === undefined ? malformed('a submessage cannot be read') : value.read;
}

export function readString(reader: Reader): string {
  expectWire(reader, wire.delimited);
  return reader.readStringRequireUtf8();
}

export function readBytes(reader: Reader): Uint8Array {
  expectWire(reader, wire.delimited);
  return reader.readBytes();
}

export function readVarint<T>(reader: Reader, read: () => T): T {
  expectWire(reader, wire.varint);
  return read();
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
  readMessage(reader, (entry) => {
    readFields(entry, (field) => {
      if (field === 1) key = readString(entry);
      else if (field === 2) value = readValue(entry);
      else return false;
      return true;
    });
  });
  map.set(key, value);
}

export function expectWire(reader: Reader, expected: number): void {
  if (reader.getWireType() !== expected) malformed('a field has the wrong wire type');
}
