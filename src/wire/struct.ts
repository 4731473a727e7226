import { malformed, type Reader, readFields } from './reader.js';
import { type Writer, writeMessage, writeString } from './writer.js';

/** google.protobuf.Value as plain data. Objects have a null prototype, so no key can reach one. */
export type StructValue =
  | null
  | boolean
  | number
  | string
  | readonly StructValue[]
  | { readonly [key: string]: StructValue };

/** google.protobuf.Struct as a null-prototype object. */
export type Struct = { readonly [key: string]: StructValue };

const maxDepth = 64;

/** Reads google.protobuf.Struct; a key given twice keeps its last value. */
export function readStruct(reader: Reader, depth = 0): Struct {
  if (depth > maxDepth) malformed(`a Struct is nested deeper than ${maxDepth}`);
  const struct: { [key: string]: StructValue } = Object.create(null);
  readFields(reader, (field) => {
    if (field !== 1) return false;
    let key = '';
    let value: StructValue = null;
    reader.message((entry) => {
      readFields(entry, (part) => {
        if (part === 1) key = entry.string();
        else if (part === 2) value = entry.message((inner) => readValue(inner, depth + 1));
        else return false;
        return true;
      });
    });
    struct[key] = value;
    return true;
  });
  return struct;
}

function readValue(reader: Reader, depth: number): StructValue {
  if (depth > maxDepth) malformed(`a Struct is nested deeper than ${maxDepth}`);
  let value: StructValue = null;
  readFields(reader, (field) => {
    if (field === 1) {
      reader.int32();
      value = null;
    } else if (field === 2) {
      value = reader.double();
    } else if (field === 3) value = reader.string();
    else if (field === 4) value = reader.bool();
    else if (field === 5) value = reader.message((inner) => readStruct(inner, depth + 1));
    else if (field === 6) value = reader.message((inner) => readList(inner, depth + 1));
    else return false;
    return true;
  });
  return value;
}

function readList(reader: Reader, depth: number): readonly StructValue[] {
  const list: StructValue[] = [];
  readFields(reader, (field) => {
    if (field !== 1) return false;
    list.push(reader.message((inner) => readValue(inner, depth + 1)));
    return true;
  });
  return list;
}

export function writeStruct(writer: Writer, struct: Struct): void {
  for (const key of Object.keys(struct)) {
    writeMessage(writer, 1, (entry) => {
      writeString(entry, 1, key);
      writeMessage(entry, 2, (inner) => writeValue(inner, struct[key] ?? null));
    });
  }
}

function writeValue(writer: Writer, value: StructValue): void {
  if (value === null) writer.writeInt(1, 0);
  else if (typeof value === 'number') writer.writeDouble(2, value);
  else if (typeof value === 'string') writer.writeString(3, value);
  else if (typeof value === 'boolean') writer.writeInt(4, value ? 1 : 0);
  else if (isList(value)) {
    writeMessage(writer, 6, (list) => {
      for (const item of value) writeMessage(list, 1, (inner) => writeValue(inner, item));
    });
  } else writeMessage(writer, 5, (inner) => writeStruct(inner, value));
}

function isList(value: StructValue): value is readonly StructValue[] {
  return Array.isArray(value);
}
