import type { Struct } from './struct.js';

/** envoy.config.core.v3.HeaderValue. `rawValue` is set where Envoy sends `encode_raw_headers`. */
export interface HeaderValue {
  readonly key: string;
  readonly value: string;
  readonly rawValue: Uint8Array | undefined;
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
