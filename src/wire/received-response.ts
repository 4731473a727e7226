import type { Decoded } from './decoded.js';
import { decode, type Reader, readFields, readOnce } from './reader.js';
import { readStruct, type Struct } from './struct.js';

/** A CheckResponse as a client (Envoy) reads it: any shape, also those that Countersign never sends. */
export interface ReceivedResponse {
  /** google.rpc.Status.code; undefined when there is no `status`. */
  readonly status: number | undefined;
  readonly denied: ReceivedDenied | undefined;
  readonly ok: ReceivedOk | undefined;
  readonly error: ReceivedDenied | undefined;
  readonly dynamicMetadata: Struct | undefined;
}

export interface ReceivedDenied {
  readonly httpStatus: number | undefined;
  readonly headers: readonly ReceivedHeader[];
  readonly body: string;
}

export interface ReceivedOk {
  readonly headers: readonly ReceivedHeader[];
  readonly headersToRemove: readonly string[];
}

export interface ReceivedHeader {
  readonly key: string;
  readonly value: string;
  readonly append: boolean | undefined;
  readonly appendAction: number;
}

/** Reads a CheckResponse: what the quick start, the load generator and tests do in Envoy's place. */
export function decodeCheckResponse(bytes: Uint8Array): Decoded<ReceivedResponse> {
  return decode(bytes, (reader) => {
    let status: number | undefined;
    let denied: ReceivedDenied | undefined;
    let ok: ReceivedOk | undefined;
    let error: ReceivedDenied | undefined;
    let dynamicMetadata: Struct | undefined;
    readFields(reader, (field) => {
      if (field === 1) status = readOnce(reader, status, readCode);
      else if (field === 2) denied = readOnce(reader, denied, readDenied);
      else if (field === 3) ok = readOnce(reader, ok, readOk);
      else if (field === 4) {
        dynamicMetadata = readOnce(reader, dynamicMetadata, (inner) => readStruct(inner));
      } else if (field === 5) error = readOnce(reader, error, readDenied);
      else return false;
      return true;
    });
    return { status, denied, ok, error, dynamicMetadata };
  });
}

function readCode(reader: Reader): number {
  let code = 0;
  readFields(reader, (field) => {
    if (field !== 1) return false;
    code = reader.int32();
    return true;
  });
  return code;
}

function readDenied(reader: Reader): ReceivedDenied {
  let httpStatus: number | undefined;
  const headers: ReceivedHeader[] = [];
  let body = '';
  readFields(reader, (field) => {
    if (field === 1) httpStatus = readOnce(reader, httpStatus, readCode);
    else if (field === 2) headers.push(reader.message(readHeader));
    else if (field === 3) body = reader.string();
    else return false;
    return true;
  });
  return { httpStatus, headers, body };
}

function readOk(reader: Reader): ReceivedOk {
  const headers: ReceivedHeader[] = [];
  const headersToRemove: string[] = [];
  readFields(reader, (field) => {
    if (field === 2) headers.push(reader.message(readHeader));
    else if (field === 5) headersToRemove.push(reader.string());
    else return false;
    return true;
  });
  return { headers, headersToRemove };
}

function readHeader(reader: Reader): ReceivedHeader {
  let key = '';
  let value = '';
  let append: boolean | undefined;
  let appendAction = 0;
  readFields(reader, (field) => {
    if (field === 1) {
      reader.message((inner) =>
        readFields(inner, (part) => {
          if (part === 1) key = inner.string();
          else if (part === 2) value = inner.string();
          else return false;
          return true;
        }),
      );
    } else if (field === 2) append = reader.message(readBoolValue);
    else if (field === 3) appendAction = reader.int32();
    else return false;
    return true;
  });
  return { key, value, append, appendAction };
}

function readBoolValue(reader: Reader): boolean {
  let value = false;
  readFields(reader, (field) => {
    if (field !== 1) return false;
    value = reader.bool();
    return true;
  });
  return value;
}
