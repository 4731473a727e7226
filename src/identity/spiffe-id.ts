import type { SpiffeId } from './caller.js';

const scheme = 'spiffe://';
const maxBytes = 2048;
const maxTrustDomainBytes = 255;

/**
 * Parses a SPIFFE ID (SPIFFE-ID §2) byte by byte, with no folding and no decoding; the text is the
 * id's only spelling. Gives why not, as a sentence, when it is none.
 */
export function parseSpiffeId(text: string): SpiffeId | string {
  if (!text.startsWith(scheme)) return 'a SPIFFE ID begins with "spiffe://"';
  if (text.length > maxBytes) return `a SPIFFE ID has at most ${maxBytes} bytes`;
  const slash = text.indexOf('/', scheme.length);
  const trustDomain = text.slice(scheme.length, slash < 0 ? undefined : slash);
  const fault = trustDomainFault(trustDomain);
  if (fault !== undefined) return fault;
  if (slash < 0) return { text, trustDomain, segments: [] };
  const segments = text.slice(slash + 1).split('/');
  const bad = segments.find((segment) => !isSegment(segment));
  return bad === undefined ? { text, trustDomain, segments } : segmentFault(bad);
}

/** Why `text` is no trust domain name (SPIFFE-ID §2.1), or undefined when it is one. */
export function trustDomainFault(text: string): string | undefined {
  if (text === '') return 'a trust domain is not empty';
  if (text.length > maxTrustDomainBytes) {
    return `a trust domain has at most ${maxTrustDomainBytes} bytes`;
  }
  return every(text, isTrustDomainChar)
    ? undefined
    : 'a trust domain has lower-case letters, digits, "-", "." and "_" only';
}

function segmentFault(segment: string): string {
  if (segment === '') return 'a SPIFFE ID has no empty segment and no trailing "/"';
  if (segment === '.' || segment === '..') return 'a SPIFFE ID has no dot segments';
  return 'a segment of a SPIFFE ID has letters, digits, "-", "." and "_" only';
}

function isSegment(text: string): boolean {
  return text !== '' && text !== '.' && text !== '..' && every(text, isSegmentChar);
}

function every(text: string, accept: (code: number) => boolean): boolean {
  for (let at = 0; at < text.length; at += 1) {
    if (!accept(text.charCodeAt(at))) return false;
  }
  return true;
}

function isTrustDomainChar(code: number): boolean {
  return isLower(code) || isDigit(code) || isPunctuation(code);
}

function isSegmentChar(code: number): boolean {
  return isLower(code) || (code >= 0x41 && code <= 0x5a) || isDigit(code) || isPunctuation(code);
}

const isLower = (code: number) => code >= 0x61 && code <= 0x7a;
const isDigit = (code: number) => code >= 0x30 && code <= 0x39;
/** "-", "." and "_". */
const isPunctuation = (code: number) => code === 0x2d || code === 0x2e || code === 0x5f;

/** A pattern over parsed ids: `*` is one whole segment, a final `**` one or more. */
export interface SpiffePattern {
  readonly text: string;
  readonly trustDomain: string;
  readonly segments: readonly string[];
}

/** Parses a pattern; gives why not, as a sentence. The trust domain is always exact. */
export function parseSpiffePattern(text: string): SpiffePattern | string {
  if (!text.startsWith(scheme)) return 'a SPIFFE pattern begins with "spiffe://"';
  const [trustDomain = '', ...segments] = text.slice(scheme.length).split('/');
  if (segments.length === 0) return 'a workload has a path: add "/**" for all of them';
  const plain = segments.map((segment) => (/^\*\*?$/.test(segment) ? 'any' : segment));
  if (plain.some((segment) => segment.includes('*'))) {
    return '"*" and "**" are whole segments of the path';
  }
  const parsed = parseSpiffeId(`${scheme}${trustDomain}/${plain.join('/')}`);
  if (typeof parsed === 'string') return parsed;
  const isInner = segments.slice(0, -1).includes('**');
  return isInner ? '"**" stands last' : { text, trustDomain, segments };
}

/** Whether the id is of the pattern: compared by parsed parts, never by text prefix. */
export function matchSpiffePattern(pattern: SpiffePattern, id: SpiffeId): boolean {
  if (pattern.trustDomain !== id.trustDomain) return false;
  const wanted = pattern.segments;
  const isOpen = wanted[wanted.length - 1] === '**';
  const fixed = isOpen ? wanted.length - 1 : wanted.length;
  if (isOpen ? id.segments.length <= fixed : id.segments.length !== fixed) return false;
  for (let at = 0; at < fixed; at += 1) {
    if (wanted[at] !== '*' && wanted[at] !== id.segments[at]) return false;
  }
  return true;
}
