import type { AttributeHttpRequest } from '../wire/attribute-context.js';
import type { Body, Headers } from './request.js';

/** Methods whose requests have no body unless a header says so. */
const bodiless = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE']);

/**
 * What is known of the body. It counts as whole only when nothing says otherwise: Envoy's partial
 * mark, its silent cut at the buffer limit, a length that differs, a content coding, two bodies
 * (ENVOY.md 0, facts 10–12; ENVOY-MEASURED.md 2, Body).
 */
export function readBody(
  http: AttributeHttpRequest,
  headers: Headers,
  partial: string | undefined,
  maxBytes: number,
): Body {
  const isSent = http.body !== '' || http.rawBody.length > 0 || partial !== undefined;
  const unknown = (why: string): Body => ({ state: 'unknown', why, isSent });
  if (http.body !== '' && http.rawBody.length > 0) return unknown('it came in both encodings');
  // In a string body, Envoy writes "!" for each byte that is not UTF-8.
  if (http.body.includes('!')) return unknown('it may not be the bytes that the upstream gets');
  const bytes = http.body === '' ? http.rawBody : Buffer.from(http.body);
  const declared = headers.get('content-length')?.[0];
  const coding = headers.get('content-encoding')?.[0]?.trim().toLowerCase();
  const isChunked = headers.has('transfer-encoding');
  if (partial !== undefined && partial !== 'false') return unknown('Envoy sent only a part of it');
  if (bytes.length >= maxBytes) return unknown('it reaches the limit at which Envoy cuts it');
  if (declared !== undefined && declared.trim() !== String(bytes.length)) {
    return unknown('its length is not its content-length');
  }
  if (http.size > bytes.length) return unknown('Envoy has buffered more of it');
  if (bytes.length > 0) {
    if (coding !== undefined && coding !== '' && coding !== 'identity') {
      return unknown('it has a content coding');
    }
    return { state: 'whole', bytes };
  }
  const isEmpty = partial === 'false' || declared !== undefined || bodiless.has(http.method);
  return isEmpty && (partial === 'false' || !isChunked)
    ? { state: 'absent' }
    : unknown('Envoy sent none of it');
}
