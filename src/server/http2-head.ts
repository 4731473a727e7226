import type { HeaderField } from './hpack-tables.js';

/** The head of one request: what a gRPC server looks at, and how long the body says it is. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly contentType: string;
  readonly grpcTimeout: string | undefined;
  /** Bytes; undefined where none is given. */
  readonly contentLength: number | undefined;
}

const requestPseudo = new Set([':method', ':path', ':scheme', ':authority']);
/** Headers of one connection, which HTTP/2 does not have (RFC 9113 §8.2.2). */
const connectionHeaders = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
const lowerCaseToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const forbiddenInValue = /[\0\r\n]|^[ \t]|[ \t]$/;

/** Reads a request's fields (RFC 9113 §8.2 and §8.3); undefined for a malformed request. */
export function readHead(fields: readonly HeaderField[]): RequestHead | undefined {
  const named = new Map<string, string>();
  let isRegular = false;
  for (const [name, value] of fields) {
    if (forbiddenInValue.test(value)) return undefined;
    if (name.startsWith(':')) {
      if (isRegular || named.has(name) || !requestPseudo.has(name)) return undefined;
    } else {
      isRegular = true;
      if (!isFieldOfHttp2(name, value)) return undefined;
    }
    if (!named.has(name)) named.set(name, value);
    else if (name === 'content-length' || name === 'content-type') return undefined;
  }
  const method = named.get(':method');
  const path = named.get(':path');
  const length = named.get('content-length');
  const contentLength = length === undefined ? undefined : readLength(length);
  if (method === undefined || !path || !named.get(':scheme') || Number.isNaN(contentLength)) {
    return undefined;
  }
  const contentType = named.get('content-type') ?? '';
  return { method, path, contentType, grpcTimeout: named.get('grpc-timeout'), contentLength };
}

/** Whether these are trailers: fields of HTTP/2 and no pseudo-header (RFC 9113 §8.1). */
export function areTrailers(fields: readonly HeaderField[]): boolean {
  return fields.every(([name, value]) => isFieldOfHttp2(name, value));
}

function isFieldOfHttp2(name: string, value: string): boolean {
  if (!lowerCaseToken.test(name) || connectionHeaders.has(name)) return false;
  return name !== 'te' || value === 'trailers';
}

function readLength(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}
