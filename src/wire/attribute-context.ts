import { type Address, readAddress, writeAddress } from './address.js';
import {
  type HeaderValue,
  type Metadata,
  readHeaderValue,
  readMetadata,
  writeHeaderValue,
  writeMetadata,
} from './base.js';
import {
  malformed,
  type Reader,
  readFields,
  readMapEntry,
  readOnce,
  readString,
} from './reader.js';
import { type Writer, writeMap, writeMessage, writeString } from './writer.js';

/** envoy.service.auth.v3.AttributeContext (ENVOY.md 1.1). Absent messages are undefined. */
export interface AttributeContext {
  readonly source: AttributePeer | undefined;
  readonly destination: AttributePeer | undefined;
  readonly request: AttributeRequest | undefined;
  readonly contextExtensions: ReadonlyMap<string, string>;
  readonly metadataContext: Metadata | undefined;
  readonly tlsSession: TlsSession | undefined;
  readonly routeMetadataContext: Metadata | undefined;
}

export interface AttributePeer {
  readonly address: Address | undefined;
  readonly service: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly principal: string;
  readonly certificate: string;
}

export interface AttributeRequest {
  readonly time: Timestamp | undefined;
  readonly http: AttributeHttpRequest | undefined;
}

/** google.protobuf.Timestamp: seconds since the epoch and nanoseconds, unchecked. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

export interface AttributeHttpRequest {
  readonly id: string;
  readonly method: string;
  /** `headers`: the joined encoding. */
  readonly headers: ReadonlyMap<string, string>;
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly query: string;
  readonly fragment: string;
  /** int64; beyond 2^53 it is not exact. */
  readonly size: number;
  readonly protocol: string;
  readonly body: string;
  readonly rawBody: Uint8Array;
  /** `header_map`: the raw encoding (`encode_raw_headers`); undefined when the field is absent. */
  readonly headerMap: readonly HeaderValue[] | undefined;
}

export interface TlsSession {
  readonly sni: string;
}

const maxHeaders = 1000;
const noBytes = new Uint8Array(0);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export function readAttributeContext(reader: Reader): AttributeContext {
  const context: Mutable<AttributeContext> = {
    source: undefined,
    destination: undefined,
    request: undefined,
    contextExtensions: new Map(),
    metadataContext: undefined,
    tlsSession: undefined,
    routeMetadataContext: undefined,
  };
  const extensions = new Map<string, string>();
  context.contextExtensions = extensions;
  readFields(reader, (field) => {
    if (field === 1) context.source = readOnce(reader, context.source, readPeer);
    else if (field === 2) context.destination = readOnce(reader, context.destination, readPeer);
    else if (field === 4) context.request = readOnce(reader, context.request, readRequest);
    else if (field === 10) readMapEntry(reader, extensions, '', readString);
    else if (field === 11) {
      context.metadataContext = readOnce(reader, context.metadataContext, readMetadata);
    } else if (field === 12) {
      context.tlsSession = readOnce(reader, context.tlsSession, readTlsSession);
    } else if (field === 13) {
      context.routeMetadataContext = readOnce(reader, context.routeMetadataContext, readMetadata);
    } else return false;
    return true;
  });
  return context;
}

function readPeer(reader: Reader): AttributePeer {
  let address: Address | undefined;
  let service = '';
  const labels = new Map<string, string>();
  let principal = '';
  let certificate = '';
  readFields(reader, (field) => {
    if (field === 1) address = readOnce(reader, address, readAddress);
    else if (field === 2) service = reader.string();
    else if (field === 3) readMapEntry(reader, labels, '', readString);
    else if (field === 4) principal = reader.string();
    else if (field === 5) certificate = reader.string();
    else return false;
    return true;
  });
  return { address, service, labels, principal, certificate };
}

function readRequest(reader: Reader): AttributeRequest {
  let time: Timestamp | undefined;
  let http: AttributeHttpRequest | undefined;
  readFields(reader, (field) => {
    if (field === 1) time = readOnce(reader, time, readTimestamp);
    else if (field === 2) http = readOnce(reader, http, readHttpRequest);
    else return false;
    return true;
  });
  return { time, http };
}

function readTimestamp(reader: Reader): Timestamp {
  let seconds = 0;
  let nanos = 0;
  readFields(reader, (field) => {
    if (field === 1) seconds = reader.int64();
    else if (field === 2) nanos = reader.int32();
    else return false;
    return true;
  });
  return { seconds, nanos };
}

function readTlsSession(reader: Reader): TlsSession {
  let sni = '';
  readFields(reader, (field) => {
    if (field !== 1) return false;
    sni = reader.string();
    return true;
  });
  return { sni };
}

function readHttpRequest(reader: Reader): AttributeHttpRequest {
  const headers = new Map<string, string>();
  const http: Mutable<AttributeHttpRequest> = {
    id: '',
    method: '',
    headers,
    path: '',
    host: '',
    scheme: '',
    query: '',
    fragment: '',
    size: 0,
    protocol: '',
    body: '',
    rawBody: noBytes,
    headerMap: undefined,
  };
  readFields(reader, (field) => {
    switch (field) {
      case 1:
        http.id = reader.string();
        return true;
      case 2:
        http.method = reader.string();
        return true;
      case 3:
        readMapEntry(reader, headers, '', readString);
        if (headers.size > maxHeaders) malformed(`there are more than ${maxHeaders} headers`);
        return true;
      case 4:
        http.path = reader.string();
        return true;
      case 5:
        http.host = reader.string();
        return true;
      case 6:
        http.scheme = reader.string();
        return true;
      case 7:
        http.query = reader.string();
        return true;
      case 8:
        http.fragment = reader.string();
        return true;
      case 9:
        http.size = reader.int64();
        return true;
      case 10:
        http.protocol = reader.string();
        return true;
      case 11:
        http.body = reader.string();
        return true;
      case 12:
        http.rawBody = reader.bytes();
        return true;
      case 13:
        http.headerMap = readOnce(reader, http.headerMap, readHeaderMap);
        return true;
      default:
        return false;
    }
  });
  return http;
}

function readHeaderMap(reader: Reader): readonly HeaderValue[] {
  const headers: HeaderValue[] = [];
  readFields(reader, (field) => {
    if (field !== 1) return false;
    headers.push(reader.message(readHeaderValue));
    if (headers.length > maxHeaders) malformed(`there are more than ${maxHeaders} headers`);
    return true;
  });
  return headers;
}

export function writeAttributeContext(writer: Writer, context: AttributeContext): void {
  writeOptional(writer, 1, context.source, writePeer);
  writeOptional(writer, 2, context.destination, writePeer);
  writeOptional(writer, 4, context.request, writeRequest);
  writeMap(writer, 10, context.contextExtensions, (entry, value) => writeString(entry, 2, value));
  writeOptional(writer, 11, context.metadataContext, writeMetadata);
  writeOptional(writer, 12, context.tlsSession, (inner, tls) => writeString(inner, 1, tls.sni));
  writeOptional(writer, 13, context.routeMetadataContext, writeMetadata);
}

function writeOptional<T>(
  writer: Writer,
  field: number,
  value: T | undefined,
  write: (writer: Writer, value: T) => void,
): void {
  if (value !== undefined) writeMessage(writer, field, (inner) => write(inner, value));
}

function writePeer(writer: Writer, peer: AttributePeer): void {
  writeOptional(writer, 1, peer.address, writeAddress);
  writeString(writer, 2, peer.service);
  writeMap(writer, 3, peer.labels, (entry, value) => writeString(entry, 2, value));
  writeString(writer, 4, peer.principal);
  writeString(writer, 5, peer.certificate);
}

function writeRequest(writer: Writer, request: AttributeRequest): void {
  writeOptional(writer, 1, request.time, (inner, time) => {
    if (time.seconds !== 0) inner.writeInt(1, time.seconds);
    if (time.nanos !== 0) inner.writeInt(2, time.nanos);
  });
  writeOptional(writer, 2, request.http, writeHttpRequest);
}

function writeHttpRequest(writer: Writer, http: AttributeHttpRequest): void {
  writeString(writer, 1, http.id);
  writeString(writer, 2, http.method);
  writeMap(writer, 3, http.headers, (entry, value) => writeString(entry, 2, value));
  writeString(writer, 4, http.path);
  writeString(writer, 5, http.host);
  writeString(writer, 6, http.scheme);
  writeString(writer, 7, http.query);
  writeString(writer, 8, http.fragment);
  if (http.size !== 0) writer.writeInt(9, http.size);
  writeString(writer, 10, http.protocol);
  writeString(writer, 11, http.body);
  if (http.rawBody.length > 0) writer.writeBytes(12, http.rawBody);
  writeOptional(writer, 13, http.headerMap, (inner, map) => {
    for (const header of map) writeMessage(inner, 1, (value) => writeHeaderValue(value, header));
  });
}
