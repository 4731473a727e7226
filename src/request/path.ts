import { Refusal } from '../errors.js';
import type { Path } from './request.js';

const maxBytes = 16 * 1024;
const maxSegments = 512;

/**
 * Splits `path` (with its query) at the first `?` and reads the path as decoded segments: each
 * segment is decoded once, and whatever another reader could see differently is refused
 * (PRODUCT.md, Fine print, Paths; ENVOY.md 3.2).
 */
export function readPath(text: string): { path: Path; rawQuery: string } | Refusal {
  const mark = text.indexOf('?');
  const raw = mark < 0 ? text : text.slice(0, mark);
  const rawQuery = mark < 0 ? '' : text.slice(mark + 1);
  if (rawQuery.includes('#')) return ambiguous('a fragment is never sent to a server');
  if (!isVisibleAscii(rawQuery)) return ambiguous('the query has a character that is not encoded');
  if (!raw.startsWith('/')) return ambiguous('the path does not begin with "/"');
  if (raw.length > maxBytes) return ambiguous(`the path is longer than ${maxBytes} bytes`);
  const parts = raw.slice(1).split('/');
  if (parts.length > maxSegments) return ambiguous(`the path has over ${maxSegments} segments`);
  const segments: string[] = [];
  for (const [index, part] of parts.entries()) {
    if (part === '' && index < parts.length - 1) return ambiguous('the path has an empty segment');
    const segment = readSegment(part);
    if (segment === undefined) return ambiguous(`segment ${index + 1} of the path is ambiguous`);
    segments.push(segment);
  }
  return { path: { raw, segments }, rawQuery };
}

function ambiguous(detail: string): Refusal {
  return new Refusal('path_ambiguous', detail);
}

function isVisibleAscii(text: string): boolean {
  return /^[!-~]*$/.test(text);
}

/** The unreserved and sub-delimiter characters a segment may hold raw, without `;` and `%`. */
const plainSegment = /^[A-Za-z0-9\-._~!$&'()*+,=:@]*$/;
/** Visible ASCII that may stand raw beside percent-encoding; `/` cannot occur. */
const rawSegment = /^[!-~]*$/;
const refusedRaw = /[\\;#?]/;
// Two readers differ on these when decoded: separators, parameters, a second decoding, controls.
const refusedDecoded = /[/\\;#?%\p{Cc}]/u;

function readSegment(raw: string): string | undefined {
  if (raw === '.' || raw === '..') return undefined;
  if (plainSegment.test(raw)) return raw;
  if (!rawSegment.test(raw) || refusedRaw.test(raw)) return undefined;
  const decoded = decodePercent(raw);
  if (decoded === undefined || refusedDecoded.test(decoded)) return undefined;
  return decoded === '.' || decoded === '..' ? undefined : decoded;
}

/** RFC 3986 §2.1, once; undefined for an incomplete escape and for invalid or overlong UTF-8. */
export function decodePercent(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
