import type { Address } from './address.js';
import type { HeaderValue, Metadata } from './base.js';

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
