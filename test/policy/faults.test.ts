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
});
