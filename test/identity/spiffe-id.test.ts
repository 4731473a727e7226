import { expect } from 'chai';
import { describe, it } from 'mocha';
import {
  matchSpiffePattern,
  parseSpiffeId,
  parseSpiffePattern,
} from '../../src/identity/spiffe-id.js';

const isGood = (text: string) => typeof parseSpiffeId(text) !== 'string';
const goodInTrustDomain = /^[a-z0-9._-]$/;
const goodInSegment = /^[A-Za-z0-9._-]$/;

describe('a SPIFFE ID', () => {
  it('takes in its trust domain just the code points of the grammar, of 0–255', () => {
    for (let code = 0; code < 256; code += 1) {
      const char = String.fromCharCode(code);
      // "/" ends the trust domain and begins the path.
      const want = char === '/' || goodInTrustDomain.test(char);
      expect(isGood(`spiffe://t${char}d/a`), `code point ${code}`).to.equal(want);
    }
  });

  it('takes in a segment just the code points of the grammar, of 0–255', () => {
    for (let code = 0; code < 256; code += 1) {
      const char = String.fromCharCode(code);
      const want = char === '/' || goodInSegment.test(char);
      expect(isGood(`spiffe://td/a${char}b`), `code point ${code}`).to.equal(want);
    }
  });

  const accepted = [
    'spiffe://td',
    'spiffe://td/...',
    'spiffe://10.0.0.1/a',
    'spiffe://td/A/b-c_d.e',
  ];
  for (const text of accepted) it(`accepts ${text}`, () => expect(isGood(text)).to.equal(true));

  const refused = [
    ...[
      '',
      'SPIFFE://td/a',
      'spiffe:/td/a',
      'spiffe:///a',
      'spiffe://u@td/a',
      'spiffe://td:8443/a',
    ],
    ...['spiffe://TD/a', 'spiffe://td/%61', 'spiffe://td//a', 'spiffe://td/', 'spiffe://td/a/'],
    ...[
      'spiffe://td/./a',
      'spiffe://td/..',
      'spiffe://td/a?x',
      'spiffe://td/a#f',
      'spiffe://[::1]/a',
    ],
    ...[
      'spiffe://td/ä',
      'spiffe://td/a\n',
      'spiffe://td\\@evil/a',
      ' spiffe://td/a',
      'spiffe://td!/a',
    ],
  ];
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)} (C14)`, () => expect(isGood(text)).to.equal(false));
  }

  it('accepts 2048 bytes and refuses 2049 (C14)', () => {
    const id = (length: number) => `spiffe://td/${'a'.repeat(length - 'spiffe://td/'.length)}`;
    expect([isGood(id(2048)), isGood(id(2049))]).to.deep.equal([true, false]);
  });

  it('refuses a trust domain of 256 bytes', () => {
    expect(isGood(`spiffe://${'a'.repeat(255)}/x`)).to.equal(true);
    expect(isGood(`spiffe://${'a'.repeat(256)}/x`)).to.equal(false);
  });
});

const patterns: readonly { pattern: string; id: string; want: boolean | RegExp }[] = [
  { pattern: 'spiffe://td/a/b', id: 'spiffe://td/a/b', want: true },
  { pattern: 'spiffe://td/pay', id: 'spiffe://td/payments', want: false },
  { pattern: 'spiffe://td/ns/*/sa/*', id: 'spiffe://td/ns/x/sa/y', want: true },
  { pattern: 'spiffe://td/ns/*/sa/*', id: 'spiffe://td/ns/x/y/sa/z', want: false },
  { pattern: 'spiffe://td/ns/**', id: 'spiffe://td/ns/a/b/c', want: true },
  { pattern: 'spiffe://td/ns/**', id: 'spiffe://td/ns', want: false },
  { pattern: 'spiffe://td/**', id: 'spiffe://td.evil/x', want: false },
  { pattern: 'spiffe://td/a', id: 'spiffe://td/A', want: false },
  { pattern: 'spiffe://td/a*', id: '', want: /whole segments/ },
  { pattern: 'spiffe://*/a', id: '', want: /trust domain/ },
  { pattern: 'spiffe://td/**/a', id: '', want: /stands last/ },
  { pattern: 'spiffe://td', id: '', want: /\/\*\*/ },
];

describe('a SPIFFE pattern', () => {
  for (const { pattern, id, want } of patterns) {
    it(`${pattern} on ${id || 'nothing'}: ${String(want)}`, () => {
      const parsed = parseSpiffePattern(pattern);
      const spiffeId = parseSpiffeId(id);
      const said =
        typeof parsed === 'string'
          ? parsed
          : String(typeof spiffeId !== 'string' && matchSpiffePattern(parsed, spiffeId));
      expect(said).to.match(want instanceof RegExp ? want : new RegExp(`^${want}$`));
    });
  }
});
