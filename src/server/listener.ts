/**
 * Answers one Check: CheckRequest bytes in, CheckResponse bytes out. By its contract it never
 * rejects; a server still turns a rejection into an explicit deny.
 */
export type CheckHandler = (request: Uint8Array) => Promise<Uint8Array>;

export type ServingAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface ServerOptions {
  readonly address: ServingAddress;
  /** Longest CheckRequest that is read. */
  readonly maxMessageBytes: number;
  /** CheckResponse for what never becomes an answer: an exception, a message too long. */
  readonly lastResort: Uint8Array;
  readonly tls: TlsOptions | undefined;
}

export interface TlsOptions {
  readonly certificatePem: Buffer;
  readonly keyPem: Buffer;
  /** Set: callers must show a certificate of this authority. */
  readonly clientCaPem: Buffer | undefined;
}

/** A gRPC server for `Authorization/Check` and `grpc.health.v1`. */
export interface Listener {
  /** The address it is reached at, for the log: with the real port where 0 was asked for. */
  readonly address: string;
  /** What health says from now on. */
  setServing(isServing: boolean): void;
  /** Accepts nothing new and ends when every call has been answered, or after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

export const checkPath = '/envoy.service.auth.v3.Authorization/Check';
export const authorizationService = 'envoy.service.auth.v3.Authorization';
