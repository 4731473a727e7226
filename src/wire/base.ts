import { type Reader, readFields, readMapEntry } from './reader.js';
import { readStruct, type Struct, writeStruct } from './struct.js';
import { type Writer, writeMap, writeMessage, writeString } from './writer.js';

/**
 * envoy.config.core.v3.HeaderValue. `rawValue` is set where Envoy sends `encode_raw_headers`: its
 * bytes, each as the character of its number (ISO 8859-1).
 */
export interface HeaderValue {
  readonly key: string;
  readonly value: string;
  readonly rawValue: string | undefined;
}

/** google.protobuf.Any, kept closed. */
export interface Any {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** envoy.config.core.v3.Metadata. */
export interface Metadata {
  readonly filterMetadata: ReadonlyMap<string, Struct>;
  readonly typedFilterMetadata: ReadonlyMap<string, Any>;
}

/**
 * envoy.config.core.v3.HeaderValueOption, narrowed to what Countersign may say: replace, never
 * append. It is encoded with both `append: false` and `OVERWRITE_IF_EXISTS_OR_ADD`, because
 * released Envoys differ in which of the two they read (ENVOY.md 0, fact 6).
 */
export interface HeaderOverwrite {
  readonly key: string;
  readonly value: string;
}

const emptyStruct: Struct = Object.freeze(Object.create(null));
const emptyAny: Any = { typeUrl: '', value: new Uint8Array(0) };
const overwriteIfExistsOrAdd = 2;

export function readHeaderValue(reader: Reader): HeaderValue {
  let key = '';
  let value = '';
  let rawValue: string | undefined;
  readFields(reader, (field) => {
    if (field === 1) key = reader.string();
    else if (field === 2) value = reader.string();
    else if (field === 3) rawValue = reader.latin1();
    else return false;
    return true;
  });
  return { key, value, rawValue };
}

export function writeHeaderValue(writer: Writer, header: HeaderValue): void {
  writeString(writer, 1, header.key);
  writeString(writer, 2, header.value);
  if (header.rawValue !== undefined && header.rawValue.length > 0) {
    writer.writeBytes(3, Buffer.from(header.rawValue, 'latin1'));
  }
}

export function readMetadata(reader: Reader): Metadata {
  const filterMetadata = new Map<string, Struct>();
  const typedFilterMetadata = new Map<string, Any>();
  readFields(reader, (field) => {
    if (field === 1) {
      readMapEntry(reader, filterMetadata, emptyStruct, (entry) =>
        entry.message((inner) => readStruct(inner)),
      );
    } else if (field === 2) {
      readMapEntry(reader, typedFilterMetadata, emptyAny, (entry) => entry.message(readAny));
    } else return false;
    return true;
  });
  return { filterMetadata, typedFilterMetadata };
}

export function writeMetadata(writer: Writer, metadata: Metadata): void {
  writeMap(writer, 1, metadata.filterMetadata, (entry, struct) =>
    writeMessage(entry, 2, (inner) => writeStruct(inner, struct)),
  );
  writeMap(writer, 2, metadata.typedFilterMetadata, (entry, any) =>
    writeMessage(entry, 2, (inner) => {
      writeString(inner, 1, any.typeUrl);
      if (any.value.length > 0) inner.writeBytes(2, any.value);
    }),
  );
}

function readAny(reader: Reader): Any {
  let typeUrl = '';
  let value: Uint8Array = emptyAny.value;
  readFields(reader, (field) => {
    if (field === 1) typeUrl = reader.string();
    else if (field === 2) value = reader.bytes();
    else return false;
    return true;
  });
  return { typeUrl, value };
}

/** HeaderValueOption: replace the header or add it, said in both ways. */
export function writeHeaderOverwrite(writer: Writer, header: HeaderOverwrite): void {
  writeMessage(writer, 1, (inner) => {
    writeString(inner, 1, header.key);
    writeString(inner, 2, header.value);
  });
  writeMessage(writer, 2, () => {});
  writer.writeInt(3, overwriteIfExistsOrAdd);
}
