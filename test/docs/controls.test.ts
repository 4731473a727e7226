import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const page = readFileSync('docs/controls.md', 'utf8');
const rows = [
  ...page.matchAll(/^\| (.+?) \| `([a-z-]+)` \| (.+?) \| `(test\/[^`]+)`: (.+?) \|$/gm),
].map(([, control = '', rule = '', , file = '', test = '']) => ({ control, rule, file, test }));
const policies = `${page}${readFileSync('docs/policy.md', 'utf8')}`;

describe('docs/controls.md', () => {
  it('has every one of the ten non-human identity risks', () => {
    const named = rows.flatMap(({ control }) => control.match(/\bNHI\d+\b/g) ?? []);
    const all = Array.from({ length: 10 }, (_, index) => `NHI${index + 1}`);
    expect([...new Set(named)].sort()).to.deep.equal(all.sort());
  });

  it('has a test in every row', () => {
    const lines = page.split('\n').filter((line) => line.startsWith('| '));
    expect(rows).to.have.length(lines.length - 1);
  });

  for (const { control, rule } of rows) {
    it(`names a rule that there is: ${control}: ${rule}`, () => {
      expect(policies).to.match(new RegExp(`\\bid: ${rule}\\b`));
    });
  }

  for (const { control, file, test } of rows) {
    it(`names a test that there is: ${control}`, () => {
      expect(readFileSync(file, 'utf8')).to.include(test);
    });
  }
});
