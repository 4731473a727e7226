import { Refusal } from '../errors.js';
import type { AttributeHttpRequest } from '../wire/attribute-context.js';
import type { HeaderValue } from '../wire/base.js';
import type { Headers } from './request.js';

export interface ReadHeaders {
  readonly headers: Headers;
  /** `:path`, `:method`, `:authority`, `:scheme` as far as Envoy sends them. */
  readonly pseudo: ReadonlyMap<string, string>;
  /** `x-envoy-auth-partial-body`: undefined where Envoy sent no body. */
  readonly partial: string | undefined;
}

const partialBody = 'x-envoy-auth-partial-body';

/**
 * The headers from whichever encoding Envoy used: `headers` (joined) or `header_map` (raw lines).
 * Values are read as UTF-8 where they are UTF-8, else byte by byte (ISO 8859-1), so that two
 * different byte strings never read alike within one encoding.
 */
export function readHeaders(http: AttributeHttpRequest): ReadHeaders | Refusal {
  const { headerMap } = http;
  if (headerMap !== undefined && headerMap.length > 0 && http.headers.size > 0) {
    return new Refusal('request_malformed', 'the headers came in both encodings');
  }
  const headers = new Map<string, string[]>();
  const pseudo = new Map<string, string>();
  let partial: string | undefined;
  const add = (key: string, value: string) => {
    const name = key.toLowerCase();
    if (name.startsWith(':')) {
      if (pseudo.has(name) && pseudo.get(name) !== value) return false;
      pseudo.set(name, value);
    } else if (name === partialBody) {
      if (partial !== undefined && partial !== value) return false;
      partial = value;
    } else {
      const lines = headers.get(name);
      if (lines === undefined) headers.set(name, [value]);
      else lines.push(value);
    }
    return true;
  };
  const isClear =
    headerMap !== undefined && headerMap.length > 0
      ? headerMap.every((header) => add(header.key, rawText(header)))
      : [...http.headers].every(([key, value]) => add(key, value));
  if (!isClear) return new Refusal('header_ambiguous', 'a pseudo-header is given twice');
  return { headers, pseudo, partial };
}

const beyondAscii = /[\x80-\xff]/;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function rawText({ value, rawValue }: HeaderValue): string {
  if (rawValue === undefined) return value;
  if (!beyondAscii.test(rawValue)) return rawValue;
  try {
    return utf8.decode(Buffer.from(rawValue, 'latin1'));
  } catch {
    return rawValue;
  }
}

/** Headers of which a second value makes the request mean two things (RFC 9110 §5.3). */
const singletons = [
  'content-length',
  'content-type',
  'content-encoding',
  'host',
  'transfer-encoding',
];

/** Headers by which some servers replace the method. */
const overrides = ['x-http-method-override', 'x-method-override', 'x-http-method'];

/** Whether two values were joined: a comma inside quotes belongs to one value. */
function hasComma(line: string): boolean {
  return line.replace(/"(?:[^"\\]|\\.)*"/g, '').includes(',');
}

/** Refuses headers by which two readers would see two requests. */
export function ambiguousHeader(method: string, headers: Headers): Refusal | undefined {
  for (const name of singletons) {
    const lines = headers.get(name);
    if (lines !== undefined && (lines.length > 1 || hasComma(lines[0] ?? ''))) {
      return new Refusal('header_ambiguous', `${name} is given twice`);
    }
  }
  for (const name of overrides) {
    const lines = headers.get(name);
    if (lines?.some((line) => line.trim() !== method)) {
      return new Refusal('header_ambiguous', `${name} names another method`);
    }
  }
  return undefined;
}
