import { expect } from 'chai';
import fc from 'fast-check';
import { before, it } from 'mocha';
import { parseSpiffeId } from '../../src/identity/spiffe-id.js';
import { describeGo } from '../support/go-program.js';
import { askGo, buildGoSpiffe } from '../support/go-spiffe.js';

/** Where this parser is stricter than go-spiffe: SPIFFE-ID §2 says what every implementation must take. */
const stricter: readonly { rule: string; holds: (text: string) => boolean }[] = [
  { rule: 'SPIFFE-ID §2.3: at most 2048 bytes', holds: (text) => text.length > 2048 },
  {
    rule: 'SPIFFE-ID §2.1: a trust domain has at most 255 bytes',
    holds: (text) => (text.split('/')[2] ?? '').length > 255,
  },
];

/** The rows of go-spiffe's own tests of its grammar (spiffeid/id_test.go, path_test.go). */
const rows: readonly string[] = [
  ...['', 's', 'spiffe:/', 'Spiffe://', 'spiffe://', 'spiffe:///', 'spiffe://trustdomain'],
  ...['spiffe://trustdomain/', 'spiffe://trustdomain//', 'spiffe://trustdomain//path'],
  ...['spiffe://trustdomain/path/', 'spiffe://trustdomain/.', 'spiffe://trustdomain/./path'],
  ...['spiffe://trustdomain/path/./other', 'spiffe://trustdomain/path/..'],
  ...['spiffe://trustdomain/..', 'spiffe://trustdomain/../path'],
  ...['spiffe://trustdomain/path/../other', 'spiffe://trustdomain/.path'],
  ...['spiffe://trustdomain/..path', 'spiffe://trustdomain/...', 'spiffe://trustdomain/path.'],
  ...['spiffe://trustdomain/path..', 'spiffe://trustdomain/path/.other'],
  ...['spiffe://trustdomain/path/..other', 'spiffe://trustdomain/path/...'],
  ...['http://domain.test/path/element', 'spiffe:path/element', 'spiffe:/path/element'],
  ...['spiffe://domain.test:80/path/element', 'spiffe://user:password@test.org/path/element'],
  ...['spiffe:///path/element', 'spiffe://domain.test/path/element?query=1'],
  ...['spiffe://domain.test/path/element#?query=1', 'spiffe://domain.test/path/element#fragment-1'],
  ...['spiffe://10.0.0.1/a', 'spiffe://[::1]/a', `spiffe://${'a'.repeat(256)}/a`],
  ...[`spiffe://td/${'a'.repeat(2036)}`, `spiffe://td/${'a'.repeat(2037)}`],
];

const codePoints = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
const everyCodePoint = codePoints.flatMap((char) => [
  `spiffe://trustdomain${char}/path`,
  `spiffe://trustdomain/path${char}`,
  `spiffe://trustdomain/${char}`,
  `${char}spiffe://trustdomain/path`,
  `spiffe:/${char}/trustdomain/path`,
]);

const part = fc.oneof(
  fc.constantFrom('td', 'prod.example', 'a', 'A', '.', '..', '...', '', '%2e', '%61', 'ä', 'a b'),
  fc.stringMatching(/^[A-Za-z0-9._-]{1,6}$/),
  fc.string({ maxLength: 3, unit: 'binary' }),
);
const scheme = fc.constantFrom('spiffe://', 'spiffe://', 'spiffe://', 'SPIFFE://', 'spiffe:/', '');
const behind = fc.constantFrom('', '', '', '/', '?q', '#f', '\n', ' ', ':1', '\u0000', '\\@evil');
const generated = fc
  .tuple(scheme, fc.array(part, { maxLength: 5 }), behind)
  .map(([start, parts, end]) => `${start}${parts.join('/')}${end}`);

describeGo("go-spiffe's parser of SPIFFE IDs and this one", () => {
  let program: string;
  before(function () {
    this.timeout(300_000);
    program = buildGoSpiffe();
  });

  const inputs = [
    { name: 'the rows of its own tests', ids: () => rows },
    { name: 'code points 0–255 in five places', ids: () => everyCodePoint },
    {
      name: 'five thousand seeded texts',
      ids: () => fc.sample(generated, { seed: 20261124, numRuns: 5000 }),
    },
  ];
  for (const { name, ids } of inputs) {
    it(`agree on ${name}, but for two named limits of length`, () => {
      // A lone surrogate is no UTF-8 and cannot be asked about.
      const texts = ids().filter((text) => !/\p{Surrogate}/u.test(text));
      const answers = askGo(
        program,
        texts.map((value) => ({ kind: 'id', value })),
      );
      const apart = texts.filter((text, index) => {
        const own = parseSpiffeId(text);
        const go = answers[index];
        return typeof own === 'string' ? go?.ok === true : go?.id !== own.text;
      });
      const unexplained = apart.filter((text) => {
        const isRefusedHere = typeof parseSpiffeId(text) === 'string';
        return !(isRefusedHere && stricter.some(({ holds }) => holds(text)));
      });
      expect(unexplained).to.deep.equal([]);
      expect(answers.filter(({ ok }) => ok)).to.have.length.greaterThan(9);
      expect(answers.filter(({ ok }) => !ok)).to.have.length.greaterThan(9);
    });
  }
});
