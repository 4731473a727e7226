import type { JsonValue } from './json-value.js';

export interface JsonLimits {
  readonly maxDepth: number;
  readonly maxBytes: number;
  /**
   * Refuse keys of one object that differ by case alone, for text that a parser with such habits
   * (Go's encoding/json) may read: it takes the last of them for the member it looks for.
   */
  readonly foldKeys?: boolean;
}

export type ParsedJson =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly why: string };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Strict JSON (RFC 8259), for text that another parser will read as well and must read alike.
 * Refused beside what is no JSON: a byte order mark, invalid UTF-8, a key given twice in one object
 * (also when spelled with escapes), a lone surrogate, a number that is not finite, an integer beyond
 * 2^53 (parsers differ on it), nesting deeper than `maxDepth`, more than `maxBytes`.
 * A key `__proto__` becomes an own property; read objects by own properties only.
 */
export function parseJson(input: Uint8Array | string, limits: JsonLimits): ParsedJson {
  if (input.length > limits.maxBytes) return refuse(`it is longer than ${limits.maxBytes} bytes`);
  try {
    const text = typeof input === 'string' ? input : utf8.decode(input);
    const why = findFault(text, limits);
    if (why !== undefined) return refuse(why);
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return refuse(error instanceof SyntaxError ? 'it is not JSON' : 'it is not UTF-8');
  }
}

function refuse(why: string): ParsedJson {
  return { ok: false, why };
}

const quote = 0x22;
const backslash = 0x5c;

/**
 * Looks for what JSON.parse lets pass. Assumes nothing of the text; text that is no JSON at all is
 * found by JSON.parse afterwards.
 */
function findFault(text: string, { maxDepth, foldKeys = false }: JsonLimits): string | undefined {
  // One entry per open bracket: the keys seen of an object, or undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text.charCodeAt(at);
    if (char === quote) {
      const end = endOfString(text, at);
      const fault = stringFault(text, at, end, open[open.length - 1], foldKeys);
      if (fault !== undefined) return fault;
      at = end;
    } else if (char === 0x7b || char === 0x5b) {
      if (open.length >= maxDepth) return `it is nested deeper than ${maxDepth}`;
      open.push(char === 0x7b ? new Set() : undefined);
      at += 1;
    } else if (char === 0x7d || char === 0x5d) {
      open.pop();
      at += 1;
    } else if (char === 0x2d || (char >= 0x30 && char <= 0x39)) {
      const end = endOfNumber(text, at);
      const fault = numberFault(text.slice(at, end));
      if (fault !== undefined) return fault;
      at = end;
    } else at += 1;
  }
  return undefined;
}

/** Index behind the closing quote, or the text's end. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === quote) return at + 1;
    if (char === backslash) at += 1;
  }
  return text.length;
}

function stringFault(
  text: string,
  start: number,
  end: number,
  keys: Set<string> | undefined,
  foldKeys: boolean,
): string | undefined {
  const raw = text.slice(start, end);
  const value = raw.includes('\\') ? String(JSON.parse(raw)) : raw.slice(1, -1);
  if (/\p{Surrogate}/u.test(value)) return 'a string has a lone surrogate';
  if (keys === undefined || !isKey(text, end)) return undefined;
  const key = foldKeys ? foldCase(value) : value;
  if (keys.has(key)) return 'an object has the same key twice';
  keys.add(key);
  return undefined;
}

/** One spelling for texts that differ by case alone, the long s and the Kelvin sign included. */
export function foldCase(text: string): string {
  return text.toUpperCase().toLowerCase();
}

/** Whether the next character that is no white space is a colon. */
function isKey(text: string, from: number): boolean {
  for (let at = from; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === 0x3a) return true;
    if (char !== 0x20 && char !== 0x0a && char !== 0x0d && char !== 0x09) return false;
  }
  return false;
}

function endOfNumber(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && '0123456789+-.eE'.includes(text.charAt(at))) at += 1;
  return at;
}

function numberFault(token: string): string | undefined {
  const value = Number(token);
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    return 'a number is not finite';
  }
  const isInteger = !/[.eE]/.test(token);
  return isInteger && !Number.isSafeInteger(value) && !Number.isNaN(value)
    ? 'an integer is beyond 2^53'
    : undefined;
}
