import { Refusal } from '../errors.js';
import type { Headers } from '../request/request.js';

/** A token as it was sent; nothing of it is verified. */
export interface Credential {
  /** Lower case. */
  readonly header: string;
  readonly scheme: 'bearer' | 'dpop' | 'bare';
  readonly token: string;
}

/**
 * The one token of the request, from `authorization` (Bearer or DPoP, RFC 6750 §2.1, RFC 9449 §7.1)
 * or from another header that an issuer is configured for (bare). Undefined without one: another
 * scheme counts as no token. Two values, however they arrive, are `credential_ambiguous`.
 * @param headers names of all credential headers, lower case
 */
export function readCredential(
  request: Headers,
  headers: readonly string[],
): Credential | undefined | Refusal {
  let found: Credential | undefined;
  for (const header of headers) {
    const lines = request.get(header);
    if (lines === undefined) continue;
    const read = readLine(header, lines);
    if (read instanceof Refusal) return read;
    if (read === undefined) continue;
    if (found !== undefined) return ambiguous(`${found.header} and ${header} both carry a token`);
    found = read;
  }
  return found;
}

function ambiguous(detail: string): Refusal {
  return new Refusal('credential_ambiguous', detail);
}

function malformed(detail: string): Refusal {
  return new Refusal('credential_malformed', detail);
}

function readLine(header: string, lines: readonly string[]): Credential | undefined | Refusal {
  const [line = ''] = lines;
  if (lines.length > 1) return ambiguous(`${header} is given ${lines.length} times`);
  if (header === 'authorization') return readAuthorization(line);
  if (line.includes(',')) return ambiguous(`${header} has two values`);
  return line === '' ? malformed(`${header} is empty`) : { header, scheme: 'bare', token: line };
}

function readAuthorization(line: string): Credential | undefined | Refusal {
  const plain = readPlainBearer(line);
  if (plain !== undefined) return { header: 'authorization', scheme: 'bearer', token: plain };
  const schemes = line.match(/(?:^|,)\s*(?:bearer|dpop)(?![a-z0-9-])/gi) ?? [];
  if (schemes.length === 0) {
    return isList(line) ? ambiguous('authorization has two values') : undefined;
  }
  if (/^(?:bearer|dpop) +\{/i.test(line)) return malformed('the token is not a compact JWS');
  if (line.includes(',')) return ambiguous('authorization has two values');
  const [, name = '', token = ''] = /^(bearer|dpop) +([^\s]+)$/i.exec(line) ?? [];
  if (token === '') return malformed('authorization is not a scheme, blanks and a token');
  const scheme = name.toLowerCase() === 'dpop' ? 'dpop' : 'bearer';
  return { header: 'authorization', scheme, token };
}

const bearer = 'Bearer ';

/** The token of `Bearer`, one blank and a token: what nearly all send, read without a pattern. */
function readPlainBearer(line: string): string | undefined {
  if (!line.startsWith(bearer) || line.includes(',')) return undefined;
  const token = line.slice(bearer.length);
  return /^[\w.-]+$/.test(token) ? token : undefined;
}

/** `name=value`, as the parameters of Digest and of its kin (RFC 9110 §11.2) are separated by commas. */
const parameter = /^\s*[\w!#$%&'*+.^`|~-]+\s*=\s*(?:"|[^\s"=])/;

/** Whether a comma outside quotes separates two credentials, not two parameters of one. */
function isList(line: string): boolean {
  let isQuoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at];
    if (char === '\\' && isQuoted) at += 1;
    else if (char === '"') isQuoted = !isQuoted;
    else if (char === ',' && !isQuoted && !parameter.test(line.slice(at + 1, at + 257)))
      return true;
  }
  return false;
}
