import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import { denyCodesByStatus } from '../../src/errors.js';

const page = readFileSync('docs/runbook.md', 'utf8');
const [alerts = '', codes = ''] = page.split('## Decision codes');
const names: readonly string[] = parse(
  readFileSync('observability/alerts.yaml', 'utf8'),
).groups.flatMap(({ rules }: { rules: { alert: string }[] }) => rules.map(({ alert }) => alert));

describe('the runbook', () => {
  it('has an entry for every alert, in their order, and no other', () => {
    const entries = [...alerts.matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
    expect(entries).to.deep.equal(names);
  });

  it('says of every alert what it means, where to look first, likely causes and what to do', () => {
    for (const entry of alerts.split(/^### /m).slice(1)) {
      const parts = [...entry.matchAll(/^- ([A-Z][a-z ]+): /gm)].map(([, part]) => part);
      expect(parts, entry).to.deep.equal(['Means', 'First look', 'Likely causes', 'Do']);
    }
  });

  it('has a row for every decision code, in their order, and no other', () => {
    const rows = [...codes.matchAll(/^\| `([a-z_]+)` \|(.*)\|$/gm)];
    const all = ['permitted', ...Object.values(denyCodesByStatus).flat()];
    expect(rows.map(([, code]) => code)).to.deep.equal(all);
    for (const [row] of rows) expect(row.split(' | '), row).to.have.length(5);
  });

  it('refers only to alerts that there are', () => {
    const named = [...page.matchAll(/\bCountersign[A-Z]\w+/g)].map(([name]) => name);
    expect(named.filter((name) => !names.includes(name))).to.deep.equal([]);
  });
});
