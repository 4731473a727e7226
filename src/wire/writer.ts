import { createRequire } from 'node:module';
import type { BinaryWriter } from 'google-protobuf';

// An `import` of its one large CommonJS file is searched for names first, which takes longer than all the rest.
const protobuf: typeof import('google-protobuf') = createRequire(import.meta.url)(
  'google-protobuf',
);

export type Writer = BinaryWriter;

/** Runs an encoder and gives the message's bytes. */
export function encode(write: (writer: Writer) => void): Uint8Array {
  const writer = new protobuf.BinaryWriter();
  write(writer);
  return writer.getResultBuffer();
}

/** google-protobuf writes nothing at all where it is given no message. */
const present = {};

/** Writes a submessage, also when it is empty: presence is part of what it says. */
export function writeMessage(writer: Writer, field: number, write: (writer: Writer) => void): void {
  writer.writeMessage(field, present, (_: unknown, inner: Writer) => write(inner));
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
