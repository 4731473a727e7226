import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { parseJson } from '../../src/json/parse-json.js';

const limits = { maxDepth: 8, maxBytes: 1000 };
const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

const rows: readonly { name: string; given: string | Uint8Array; want: RegExp | 'good' }[] = [
  { name: 'an object', given: '{"a":[1,"x",null,true]}', want: 'good' },
  { name: 'a key as a value elsewhere', given: '{"a":"a","b":{"a":1}}', want: 'good' },
  { name: 'a key given twice (A17)', given: '{"sub":1,"sub":2}', want: /twice/ },
  { name: 'a nested key given twice (A17)', given: '{"x":[{"a":1,"b":2,"a":3}]}', want: /twice/ },
  { name: 'a key given twice by an escape (A17)', given: '{"sub":1,"\\u0073ub":2}', want: /twice/ },
  { name: 'a number that is not finite', given: '{"exp":1e999}', want: /finite/ },
  { name: 'an integer beyond 2^53', given: '[9007199254740993]', want: /2\^53/ },
  { name: 'a lone surrogate', given: '["\\ud800"]', want: /surrogate/ },
  { name: 'a pair of surrogates', given: '["\\ud83d\\ude00"]', want: 'good' },
  { name: 'too deep a nesting (A19)', given: deep(9), want: /deeper than 8/ },
  { name: 'a nesting that is just deep enough', given: deep(8), want: 'good' },
  {
    name: 'a byte order mark (A22)',
    given: Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d),
    want: /not JSON/,
  },
  { name: 'invalid UTF-8 (A22)', given: Uint8Array.of(0x22, 0xff, 0x22), want: /not UTF-8/ },
  { name: 'text behind the value (109)', given: '{} {}', want: /not JSON/ },
  { name: 'a comment (109)', given: '{/*x*/}', want: /not JSON/ },
  { name: 'NaN (109)', given: '[NaN]', want: /not JSON/ },
  { name: 'an open string', given: '"abc\\', want: /not JSON/ },
  { name: 'too long a text', given: `"${'x'.repeat(1000)}"`, want: /longer/ },
];

describe('strict JSON', () => {
  for (const { name, given, want } of rows) {
    it(`${want === 'good' ? 'reads' : 'refuses'} ${name}`, () => {
      const parsed = parseJson(given, limits);
      const said = parsed.ok ? 'good' : parsed.why;
      expect(said).to.match(want === 'good' ? /^good$/ : want);
    });
  }

  it('reads __proto__ as a key like any other, and pollutes nothing (A20)', () => {
    const parsed = parseJson('{"__proto__":{"admin":true}}', limits);
    expect(parsed.ok && Object.keys(parsed.value ?? {})).to.deep.equal(['__proto__']);
    expect(({} as { admin?: boolean }).admin).to.equal(undefined);
  });

  it('reads whatever JSON.stringify writes, and gives the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false, maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value);
        const parsed = parseJson(text, { maxDepth: 20, maxBytes: 1e6 });
        const hasOdd = /\d{16,}|\\ud/.test(text);
        expect(hasOdd || (parsed.ok && JSON.stringify(parsed.value) === text)).to.equal(true);
      }),
      { seed: 5, numRuns: 1000 },
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(parseJson(bytes, limits).ok).to.be.a('boolean');
      }),
      { seed: 6, numRuns: 3000 },
    );
  });
});
