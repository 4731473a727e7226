import type { Socket } from 'node:net';
import type { Door } from './door.js';

/**
 * Answers one Check: CheckRequest bytes in, CheckResponse bytes out. `timeoutMs` is what is left of
 * the caller's own patience (grpc-timeout), undefined when it named none. By its contract it never
 * throws, rejects or gives nothing; `answerCheck` holds it to that.
 */
export type CheckHandler = (
  request: Uint8Array,
  timeoutMs?: number,
) => Uint8Array | Promise<Uint8Array>;

export type ServingAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface ServerOptions {
  /** Undefined: it listens nowhere, and is given its connections by `take`. */
  readonly address: ServingAddress | undefined;
  /** Whether a unix socket is taken over from the process that answers there (`openDoor`). */
  readonly takesOver?: boolean;
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
  /** Where it listens; undefined when it is given its connections. */
  readonly door: Door | undefined;
  /** Serves a connection that was accepted elsewhere, and from which nothing was read. */
  take(socket: Socket): void;
  /** What health says from now on. */
  setServing(isServing: boolean): void;
  /** Accepts nothing new and ends when every call has been answered, or after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

export const checkPath = '/envoy.service.auth.v3.Authorization/Check';
export const healthCheckPath = '/grpc.health.v1.Health/Check';
export const healthWatchPath = '/grpc.health.v1.Health/Watch';
export const authorizationService = 'envoy.service.auth.v3.Authorization';

/** Calls that one connection may have open; Envoy's cluster should be set to no more. */
export const maxConcurrentStreams = 10_000;

export function hostAndPort({ host, port }: Extract<ServingAddress, { kind: 'tcp' }>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
