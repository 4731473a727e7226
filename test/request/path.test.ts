import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import { readPath } from '../../src/request/path.js';

/** Decoded segments joined by `|`, or `refused`. */
function read(text: string): string {
  const path = readPath(text);
  return path instanceof Refusal ? `refused ${path.code}` : path.path.segments.join('|');
}
const refused = 'refused path_ambiguous';

const rows: readonly { name: string; given: string; want: string }[] = [
  { name: 'the root', given: '/', want: '' },
  { name: 'segments', given: '/a/b', want: 'a|b' },
  { name: 'a trailing slash is another path (74)', given: '/admin/', want: 'admin|' },
  { name: 'case is kept (75)', given: '/ADMIN', want: 'ADMIN' },
  { name: 'the query is not part of it (84)', given: '/public?x=/admin', want: 'public' },
  { name: 'an empty query (84)', given: '/admin?', want: 'admin' },
  { name: 'encoded unreserved letters are decoded (76)', given: '/%61dmin', want: 'admin' },
  { name: 'an encoded blank', given: '/a%20b', want: 'a b' },
  { name: 'encoded UTF-8', given: '/caf%C3%A9', want: 'café' },
  { name: 'sub-delimiters', given: "/a!$&'()*+,=:@b", want: "a!$&'()*+,=:@b" },
  { name: 'three dots are a segment', given: '/...', want: '...' },
  { name: 'a dot segment (68)', given: '/public/../admin', want: refused },
  { name: 'an encoded dot segment (69)', given: '/public/%2e%2e/admin', want: refused },
  { name: 'a half encoded dot segment (71)', given: '/public/%2E./admin', want: refused },
  { name: 'an encoded slash (70)', given: '/public/..%2fadmin', want: refused },
  { name: 'an empty segment (72)', given: '//admin', want: refused },
  { name: 'an inner empty segment (73)', given: '/admin//x', want: refused },
  { name: 'an encoded NUL (77)', given: '/admin%00', want: refused },
  { name: 'a matrix parameter (78)', given: '/admin;x=1', want: refused },
  { name: 'an encoded matrix parameter', given: '/admin%3bx=1', want: refused },
  { name: 'dots with a parameter (79)', given: '/..;x=1/admin', want: refused },
  { name: 'a parameter as a segment (80)', given: '/public;/../admin', want: refused },
  { name: 'a fragment (81)', given: '/admin#x', want: refused },
  { name: 'an encoded fragment', given: '/admin%23x', want: refused },
  { name: 'a fragment in the query', given: '/a?x#y', want: refused },
  { name: 'a backslash (82)', given: '/public\\..\\admin', want: refused },
  { name: 'an encoded backslash (82)', given: '/public%5c..%5cadmin', want: refused },
  { name: 'double encoding (83)', given: '/%252e%252e/admin', want: refused },
  { name: 'absolute form (85)', given: 'http://h/admin', want: refused },
  { name: 'the asterisk (86)', given: '*', want: refused },
  { name: 'nothing (86)', given: '', want: refused },
  { name: 'no leading slash', given: 'admin', want: refused },
  { name: 'a raw blank (88)', given: '/a b', want: refused },
  { name: 'a tab (88)', given: '/a\tb', want: refused },
  { name: 'DEL (88)', given: '/a\x7f', want: refused },
  { name: 'an encoded DEL', given: '/a%7f', want: refused },
  { name: 'a raw fullwidth slash (88)', given: '/a\uff0fb', want: refused },
  { name: 'overlong UTF-8 (88)', given: '/%c0%af', want: refused },
  { name: 'an escape that is none', given: '/a%zz', want: refused },
  { name: 'an encoded C1 control', given: '/a%C2%85', want: refused },
  { name: 'a question mark inside a segment', given: '/a%3fb', want: refused },
  { name: 'a path of 20 KiB (87)', given: `/${'a'.repeat(20_000)}`, want: refused },
  { name: 'ten thousand segments (87)', given: '/a'.repeat(8_000), want: refused },
];

describe('a path', () => {
  for (const { name, given, want } of rows) {
    it(`reads or refuses ${name}`, () => {
      expect(read(given)).to.equal(want);
    });
  }

  it('never throws, and never gives a segment that another reader would split', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const path = readPath(`/${text}`);
        if (path instanceof Refusal) return true;
        return path.path.segments.every((part) => !/[/\\;#?%\p{Cc}]/u.test(part) && part !== '..');
      }),
      { seed: 3, numRuns: 5000 },
    );
  });
});
