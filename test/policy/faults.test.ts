import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { renderFindings } from '../../src/document/render-findings.js';
import { compilePolicies } from '../../src/policy/compile.js';

const folder = 'test/policy/faults';
const scope = {
  issuers: ['corp'],
  approvals: ['change-board'],
  facts: { environment: 'staging' },
  dataFiles: ['partners'],
};

/** `UPDATE_GOLDEN=1` writes what is said now; read the difference before you commit it. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1';

describe('a policy file with one fault', () => {
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.in.yaml'))) {
    it(`is refused, with the place and a way out: ${name.replace('.in.yaml', '')}`, () => {
      const text = readFileSync(`${folder}/${name}`, 'utf8');
      const compiled = compilePolicies([{ file: name, text }], scope);
      const said = compiled.ok ? 'no finding' : renderFindings(compiled.findings, () => text);
      const golden = `${folder}/${name.replace('.in.yaml', '.out.txt')}`;
      if (isUpdate) writeFileSync(golden, said);
      expect(said).to.equal(readFileSync(golden, 'utf8'));
    });
  }

  it('is there for every code that the compiler reports', () => {
    const files = readdirSync('src/policy').filter((file) => file.startsWith('compile'));
    const sources = files.map((file) => readFileSync(`src/policy/${file}`, 'utf8')).join('\n');
    const reported = [...sources.matchAll(/\breport(?:At)?\(([^;]*?)\);/g)].flatMap(
      ([, call = '']) => [...call.matchAll(/'([a-z]+_[a-z_]+)'/g)].map(([, code]) => code),
    );
    const goldens = readdirSync(folder).filter((file) => file.endsWith('.out.txt'));
    const said = goldens.map((file) => readFileSync(`${folder}/${file}`, 'utf8')).join('\n');
    expect(reported.length).to.be.greaterThan(10);
    for (const code of reported) expect(said).to.include(`[${code}]`);
  });
});
