import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import type { AttributePeer } from '../../src/wire/attribute-context.js';
import {
  type CheckRequest,
  decodeCheckRequest,
  encodeCheckRequest,
  encodeCheckResponse,
} from '../../src/wire/external-auth.js';
import { decodeCheckResponse } from '../../src/wire/received-response.js';
import type { StructValue } from '../../src/wire/struct.js';
import { officialNames } from '../support/official-names.js';
import { officialProtos } from '../support/official-protos.js';

const root = officialProtos();
const OfficialRequest = root.lookupType('envoy.service.auth.v3.CheckRequest');
const OfficialResponse = root.lookupType('envoy.service.auth.v3.CheckResponse');

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const key = fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'a'));
const bytes = fc.uint8Array({ minLength: 1, maxLength: 12 });
const latin1 = bytes.map((value) => Buffer.from(value).toString('latin1'));
const map = <T>(value: fc.Arbitrary<T>) =>
  fc.array(fc.tuple(key, value), { maxLength: 3 }).map((entries) => new Map(entries));
const structValue: fc.Arbitrary<StructValue> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true }),
    text,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map(toStruct),
  ),
})).value as fc.Arbitrary<StructValue>;

function toStruct(entries: [string, unknown][]): StructValue {
  const struct = Object.create(null);
  for (const [name, value] of entries) struct[name] = value;
  return struct;
}

const struct = fc.array(fc.tuple(key, structValue), { maxLength: 3 }).map(toStruct);
const metadata = fc.record({
  filterMetadata: map(struct),
  typedFilterMetadata: map(fc.record({ typeUrl: text, value: bytes })),
});
const address = fc.oneof(
  fc.record({
    kind: fc.constant('socket' as const),
    protocol: fc.constantFrom(0, 1),
    address: text,
    port: fc.option(fc.nat(65535), { nil: undefined }),
    namedPort: fc.option(text, { nil: undefined }),
    resolverName: text,
    ipv4Compat: fc.boolean(),
    networkNamespaceFilepath: fc.constant(''),
  }),
  fc.record({ kind: fc.constant('pipe' as const), path: text, mode: fc.nat(511) }),
  fc.record({
    kind: fc.constant('internal' as const),
    serverListenerName: fc.option(text, { nil: undefined }),
    endpointId: text,
  }),
);
/** One of the two ports, as the oneof has it. */
const exclusive = address.map((value) =>
  value.kind === 'socket' && value.port !== undefined ? { ...value, namedPort: undefined } : value,
);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 5 });
const peer = fc.record({
  address: optional(exclusive),
  service: text,
  labels: map(text),
  principal: text,
  certificate: text,
}) as fc.Arbitrary<AttributePeer>;
const http = fc.record({
  id: text,
  method: text,
  headers: map(text),
  path: text,
  host: text,
  scheme: text,
  query: text,
  fragment: text,
  size: fc.integer({ min: -1, max: 2 ** 50 }),
  protocol: text,
  body: text,
  rawBody: fc.oneof(bytes, fc.constant(new Uint8Array(0))),
  headerMap: optional(
    fc.array(fc.record({ key, value: text, rawValue: optional(latin1) }), { maxLength: 3 }),
  ),
});
const time = fc.record({
  seconds: fc.integer({ min: -1e10, max: 1e10 }),
  nanos: fc.integer({ min: -5, max: 999_999_999 }),
});
const checkRequest = fc.record({
  attributes: optional(
    fc.record({
      source: optional(peer),
      destination: optional(peer),
      request: optional(fc.record({ time: optional(time), http: optional(http) })),
      contextExtensions: map(text),
      metadataContext: optional(metadata),
      tlsSession: optional(fc.record({ sni: text })),
      routeMetadataContext: optional(metadata),
    }),
  ),
}) as fc.Arbitrary<CheckRequest>;

/** One text for equal values, whatever their prototypes: maps and bytes spelled out, keys sorted. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) => {
    if (item instanceof Uint8Array) return Buffer.from(item).toString('hex');
    if (item instanceof Map) return [...item];
    if (typeof item === 'number' && Object.is(item, -0)) return '-0';
    if (typeof item === 'number' && !Number.isFinite(item)) return String(item);
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    return Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1));
  });
}

const runs = { seed: 20261124, numRuns: 300 };

describe('the wire against an independent implementation', () => {
  it('reads what protobufjs writes from the official protos, field by field', () => {
    fc.assert(
      fc.property(checkRequest, (request) => {
        const theirs = OfficialRequest.encode(OfficialRequest.decode(encodeCheckRequest(request)));
        const read = decodeCheckRequest(theirs.finish());
        expect(canonical(read)).to.equal(canonical({ ok: true, value: request }));
      }),
      runs,
    );
  });

  it('reads what is written by the names of the official protos: each field is its own', () => {
    fc.assert(
      fc.property(checkRequest, (request) => {
        // A key that plain objects, which protobufjs is given here, do not keep.
        fc.pre(!canonical(request).includes('__proto__'));
        const named = OfficialRequest.fromObject(officialNames(request));
        const read = decodeCheckRequest(OfficialRequest.encode(named).finish());
        expect(canonical(read)).to.equal(canonical({ ok: true, value: request }));
      }),
      runs,
    );
  });

  const header = fc.record({ key: text, value: text });
  const permit = fc.record({
    kind: fc.constant('ok' as const),
    headers: fc.array(header, { maxLength: 3 }),
    headersToRemove: fc.array(fc.string({ minLength: 1, maxLength: 5 }), { maxLength: 3 }),
    dynamicMetadata: struct as fc.Arbitrary<{ readonly [key: string]: StructValue }>,
  });
  const deny = fc.record({
    kind: fc.constant('denied' as const),
    status: fc.constantFrom(3, 7, 14, 16) as fc.Arbitrary<3 | 7 | 14 | 16>,
    httpStatus: fc.integer({ min: 400, max: 599 }),
    headers: fc.array(header, { maxLength: 3 }),
    body: text,
    dynamicMetadata: struct as fc.Arbitrary<{ readonly [key: string]: StructValue }>,
  });

  it('writes answers that the official protos read as the one shape they are', () => {
    fc.assert(
      fc.property(fc.oneof(permit, deny), (response) => {
        const encoded = encodeCheckResponse(response);
        const theirs = OfficialResponse.toObject(OfficialResponse.decode(encoded), {
          enums: Number,
          longs: Number,
        });
        const isOk = response.kind === 'ok';
        expect(encoded[0], 'status comes first, always').to.equal(0x0a);
        expect(theirs['status']).to.deep.equal(isOk ? {} : { code: response.status });
        expect(Object.hasOwn(theirs, 'ok_response')).to.equal(isOk);
        expect(Object.hasOwn(theirs, 'denied_response')).to.equal(!isOk);
        expect(Object.hasOwn(theirs, 'error_response')).to.equal(false);
        const shape = theirs[isOk ? 'ok_response' : 'denied_response'] ?? {};
        const headers = (shape.headers ?? []) as {
          append?: { value?: boolean };
          append_action?: number;
        }[];
        expect(headers).to.have.length(response.headers.length);
        for (const option of headers) {
          expect(option.append).to.deep.equal({});
          expect(option.append_action).to.equal(2);
        }
        const own = decodeCheckResponse(
          OfficialResponse.encode(OfficialResponse.decode(encoded)).finish(),
        );
        expect(canonical(own.ok && own.value.dynamicMetadata)).to.equal(
          canonical(response.dynamicMetadata),
        );
      }),
      runs,
    );
  });
});
