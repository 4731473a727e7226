import type { Address } from './address.js';
import type { AttributeContext, AttributeHttpRequest, AttributePeer } from './attribute-context.js';
import type { HeaderValue, Metadata } from './base.js';
import type { Decoded } from './decoded.js';
import type { CheckRequest } from './external-auth.js';
import type { Struct } from './struct.js';

/** A JSON object as JSON.parse gives it. */
type Json = Readonly<Record<string, unknown>>;

/**
 * Reads a CheckRequest in protobuf's JSON mapping, as Envoy, Istio and OPA users paste it: names in
 * camelCase or as in the protos, bytes in base64, unknown fields ignored; also its attributes alone,
 * and either in the `input` that OPA hands to a policy. Gives why not, as a sentence.
 */
export function checkRequestFromJson(value: unknown): Decoded<CheckRequest> {
  if (!isObject(value)) return { ok: false, reason: 'a CheckRequest is an object' };
  const input = object(value, 'input') ?? value;
  const isBare = ['request', 'source', 'destination'].some((name) => isObject(input[name]));
  const attributes = object(input, 'attributes') ?? (isBare ? input : undefined);
  if (attributes === undefined) {
    return {
      ok: false,
      reason: 'a CheckRequest has "attributes"; a decision record has "decision"',
    };
  }
  return { ok: true, value: { attributes: readContext(attributes) } };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The field by its proto name or by its JSON name. */
function field(from: Json, name: string): unknown {
  const camel = name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return from[name] ?? from[camel];
}

function object(from: Json, name: string): Json | undefined {
  const value = field(from, name);
  return isObject(value) ? value : undefined;
}

function text(from: Json, name: string): string {
  const value = field(from, name);
  return typeof value === 'string' ? value : '';
}

function number(from: Json, name: string): number {
  const value = Number(field(from, name) ?? 0);
  return Number.isFinite(value) ? value : 0;
}

function bytes(from: Json, name: string): Uint8Array {
  return Buffer.from(text(from, name), 'base64');
}

function texts(from: Json | undefined): ReadonlyMap<string, string> {
  return new Map(Object.entries(from ?? {}).map(([key, value]) => [key, String(value)]));
}

function readContext(from: Json): AttributeContext {
  const request = object(from, 'request');
  const http = request && object(request, 'http');
  const tls = object(from, 'tls_session');
  return {
    source: readPeer(object(from, 'source')),
    destination: readPeer(object(from, 'destination')),
    request: request && {
      time: readTime(field(request, 'time')),
      http: http && readHttp(http),
    },
    contextExtensions: texts(object(from, 'context_extensions')),
    metadataContext: readMetadata(object(from, 'metadata_context')),
    tlsSession: tls && { sni: text(tls, 'sni') },
    routeMetadataContext: readMetadata(object(from, 'route_metadata_context')),
  };
}

/** RFC 3339, as protobuf's JSON has it, or the message's own fields. */
function readTime(value: unknown): { seconds: number; nanos: number } | undefined {
  if (isObject(value)) return { seconds: number(value, 'seconds'), nanos: number(value, 'nanos') };
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms)
    ? undefined
    : { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
}

function readPeer(from: Json | undefined): AttributePeer | undefined {
  return (
    from && {
      address: readAddress(object(from, 'address')),
      service: text(from, 'service'),
      labels: texts(object(from, 'labels')),
      principal: text(from, 'principal'),
      certificate: text(from, 'certificate'),
    }
  );
}

function readAddress(from: Json | undefined): Address | undefined {
  const socket = from && object(from, 'socket_address');
  if (socket !== undefined) {
    return {
      kind: 'socket',
      protocol: 0,
      address: text(socket, 'address'),
      port: field(socket, 'port_value') === undefined ? undefined : number(socket, 'port_value'),
      namedPort: undefined,
      resolverName: '',
      ipv4Compat: false,
      networkNamespaceFilepath: '',
    };
  }
  const pipe = from && object(from, 'pipe');
  return pipe && { kind: 'pipe', path: text(pipe, 'path'), mode: number(pipe, 'mode') };
}

function readHttp(from: Json): AttributeHttpRequest {
  const map = object(from, 'header_map');
  const lines = map && field(map, 'headers');
  return {
    id: text(from, 'id'),
    method: text(from, 'method'),
    headers: texts(object(from, 'headers')),
    path: text(from, 'path'),
    host: text(from, 'host'),
    scheme: text(from, 'scheme'),
    query: text(from, 'query'),
    fragment: text(from, 'fragment'),
    size: number(from, 'size'),
    protocol: text(from, 'protocol'),
    body: text(from, 'body'),
    rawBody: bytes(from, 'raw_body'),
    headerMap: Array.isArray(lines) ? lines.filter(isObject).map(readHeader) : undefined,
  };
}

function readHeader(from: Json): HeaderValue {
  const hasRaw = field(from, 'raw_value') !== undefined;
  return {
    key: text(from, 'key'),
    value: text(from, 'value'),
    rawValue: hasRaw ? Buffer.from(bytes(from, 'raw_value')).toString('latin1') : undefined,
  };
}

function readMetadata(from: Json | undefined): Metadata | undefined {
  if (from === undefined) return undefined;
  const structs = Object.entries(object(from, 'filter_metadata') ?? {});
  return {
    filterMetadata: new Map(structs.map(([key, value]) => [key, value as Struct])),
    typedFilterMetadata: new Map(),
  };
}
