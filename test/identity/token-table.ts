import { expect } from 'chai';
import { it } from 'mocha';
import type { TokenIssuer } from '../../src/identity/verify-token.js';
import {
  base64url,
  bearer,
  claims,
  context,
  corpToken,
  identifierOf,
  issuerOf,
  outcomeOf,
} from './fixtures.js';

/** The id of the caller that a good token of `fixtures.ts` makes. */
export const ok = 'corp:agent-7';

export const outcome = async (token: string, issuers: readonly TokenIssuer[] = [issuerOf()]) =>
  outcomeOf(await identifierOf({ token: { issuers } }).identify(bearer(token), context()));

export const header = { alg: 'ES256', kid: 'corp-1' };

/** Good claims under a changed header, with no signature or one that is no signature. */
export const unsigned = (changes: object, signature = '') =>
  `${base64url(JSON.stringify({ ...header, ...changes }))}.${base64url(JSON.stringify(claims()))}.${signature}`;

/** A good header and payload, with other bytes for a signature. */
export const withSignature = (signature: Uint8Array) =>
  `${corpToken().split('.').slice(0, 2).join('.')}.${base64url(signature)}`;

/** The text of good claims with one more member, which JSON.stringify would not write. */
export function withMember(member: string): string {
  return `${JSON.stringify(claims()).slice(0, -1)},${member}}`;
}

interface Row {
  readonly name: string;
  readonly given: string;
  readonly want: string;
}

/** One test a row: a token, and the outcome in one word. */
export function checkTokens(
  rows: readonly Row[],
  issuers: () => readonly TokenIssuer[] = () => [issuerOf()],
): void {
  for (const { name, given, want } of rows) {
    it(`answers ${name} with ${want}`, async () => {
      expect(await outcome(given, issuers())).to.equal(want);
    });
  }
}
