import { Refusal } from '../errors.js';
import type { Request } from '../request/request.js';
import type { PeerIdentity } from './caller.js';
import { readPrincipal } from './read-principal.js';

const maxBytes = 16 * 1024;
const knownKeys = new Set(['by', 'hash', 'cert', 'chain', 'subject', 'uri', 'dns']);

/**
 * The identity from the last element of `x-forwarded-client-cert`, the one that the proxy nearest
 * to this Envoy wrote; earlier ones are claims of the peer (IDENTITY.md 1.11). Undefined without the
 * header or without a SPIFFE id in it.
 */
export function readXfcc(
  request: Request,
  trustDomains: ReadonlySet<string>,
): PeerIdentity | undefined | Refusal {
  if (request.kind !== 'http') return undefined;
  const lines = request.headers.get('x-forwarded-client-cert');
  if (lines === undefined) return undefined;
  const [line = ''] = lines;
  if (lines.length > 1) return invalid('x-forwarded-client-cert is given twice');
  const elements = parseXfcc(line);
  if (typeof elements === 'string') return invalid(elements);
  const element = elements[elements.length - 1] ?? [];
  const valuesOf = (name: string) => element.filter(({ key }) => key === name);
  const uris = valuesOf('uri');
  const hashes = valuesOf('hash');
  if (uris.length > 1 || hashes.length > 1) {
    return invalid('the last element of x-forwarded-client-cert has two of one kind');
  }
  const id = readPrincipal(uris[0]?.value ?? '', trustDomains);
  if (id === undefined || id instanceof Refusal) return id;
  const sha256 = hashes[0]?.value.toLowerCase();
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
    return invalid('the hash in x-forwarded-client-cert is no SHA-256');
  }
  const certificate = sha256 === undefined ? undefined : { sha256, notBefore: undefined };
  return { spiffeId: id, certificate };
}

function invalid(detail: string): Refusal {
  return new Refusal('peer_invalid', detail);
}

export interface XfccPair {
  /** Lower case. */
  readonly key: string;
  readonly value: string;
}

/** Reads all elements strictly; gives why not, as a sentence. */
export function parseXfcc(text: string): readonly (readonly XfccPair[])[] | string {
  if (text.length > maxBytes) return 'x-forwarded-client-cert is too long';
  const elements: XfccPair[][] = [[]];
  let at = 0;
  for (;;) {
    const equals = text.indexOf('=', at);
    const key =
      equals < 0
        ? ''
        : text
            .slice(at, equals)
            .replace(/^[ \t]+/, '')
            .toLowerCase();
    if (!knownKeys.has(key)) return 'x-forwarded-client-cert has a pair that is none of its own';
    const read =
      text[equals + 1] === '"' ? readQuoted(text, equals + 2) : readPlain(text, equals + 1);
    if (typeof read === 'string') return read;
    elements[elements.length - 1]?.push({ key, value: read.value });
    const separator = text[read.end];
    if (separator === undefined) return elements;
    if (separator === ',') elements.push([]);
    else if (separator !== ';') return 'x-forwarded-client-cert has text behind a quote';
    at = read.end + 1;
  }
}

interface Read {
  readonly value: string;
  /** Index of what follows the value. */
  readonly end: number;
}

function readPlain(text: string, start: number): Read | string {
  const rest = text.slice(start);
  const length = rest.search(/[,;]/);
  const value = length < 0 ? rest : rest.slice(0, length);
  if (value.includes('"')) return 'x-forwarded-client-cert has a stray quote';
  return { value, end: start + value.length };
}

/** `\"` and `\\` are escapes inside quotes. */
function readQuoted(text: string, start: number): Read | string {
  let value = '';
  for (let at = start; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') return { value, end: at + 1 };
    if (char === '\\') at += 1;
    value += text[at] ?? '';
  }
  return 'x-forwarded-client-cert has an open quote';
}
