import { wire } from './reader.js';

/** Writes the fields of one message in their order (Protocol Buffers, Encoding). */
export class Writer {
  readonly #parts: Buffer[] = [];

  /** The message's bytes. */
  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  writeString(field: number, value: string): void {
    this.writeBytes(field, Buffer.from(value));
  }

  writeBytes(field: number, value: Uint8Array): void {
    this.#tag(field, wire.delimited);
    this.#varint(BigInt(value.length));
    this.#parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  }

  /** A whole number: int32, int64, uint32, enums and booleans are the same varint. */
  writeInt(field: number, value: number): void {
    this.#tag(field, wire.varint);
    this.#varint(BigInt.asUintN(64, BigInt(value)));
  }

  writeDouble(field: number, value: number): void {
    this.#tag(field, wire.fixed64);
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#parts.push(bytes);
  }

  #tag(field: number, wireType: number): void {
    this.#varint(BigInt(8 * field + wireType));
  }

  #varint(value: bigint): void {
    const bytes: number[] = [];
    let rest = value;
    for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
    bytes.push(Number(rest));
    this.#parts.push(Buffer.from(bytes));
  }
}

/** Runs an encoder and gives the message's bytes. */
export function encode(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.bytes();
}

/** Writes a submessage, also when it is empty: presence is part of what it says. */
export function writeMessage(writer: Writer, field: number, write: (writer: Writer) => void): void {
  writer.writeBytes(field, encode(write));
}

/** Writes a proto3 string: '' is not written. */
export function writeString(writer: Writer, field: number, value: string): void {
  if (value !== '') writer.writeString(field, value);
}

export function writeMap<V>(
  writer: Writer,
  field: number,
  map: ReadonlyMap<string, V>,
  writeValue: (writer: Writer, value: V) => void,
): void {
  for (const [key, value] of map) {
    writeMessage(writer, field, (entry) => {
      writeString(entry, 1, key);
      writeValue(entry, value);
    });
  }
}
