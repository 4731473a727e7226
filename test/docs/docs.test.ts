import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseConfig } from '../../src/config/parse-config.js';
import { denyCodesByStatus } from '../../src/errors.js';
import { compilePolicies } from '../../src/policy/compile.js';

const read = (path: string) => readFileSync(path, 'utf8');
const pages = [
  'README.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  ...readdirSync('docs').map((name) => `docs/${name}`),
];
const blocks = pages
  .filter((page) => page.endsWith('.md'))
  .flatMap((page) =>
    [...read(page).matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => ({ page, text })),
  );
const scope = {
  issuers: ['corp'],
  approvals: ['change-board'],
  facts: { environment: 'x' },
  dataFiles: ['partners'],
};

/** Names of all properties in a JSON Schema. */
function keysOf(schema: unknown, names = new Set<string>()): ReadonlySet<string> {
  if (typeof schema !== 'object' || schema === null) return names;
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') for (const name of Object.keys(value)) names.add(name);
    keysOf(value, names);
  }
  return names;
}

describe('the documentation', () => {
  it('has every code with its HTTP status, and no other', () => {
    const listed = [...read('docs/codes.md').matchAll(/^\| `([a-z_]+)` \| (\d{3}) \|/gm)].map(
      ([, code, status]) => `${status} ${code}`,
    );
    const real = Object.entries(denyCodesByStatus).flatMap(([status, codes]) =>
      codes.map((code) => `${status} ${code}`),
    );
    expect(listed.sort()).to.deep.equal(real.sort());
  });

  it('gives a reason for every dependency, and for no other', () => {
    const text = read('CONTRIBUTING.md');
    const { dependencies } = JSON.parse(read('package.json')) as { dependencies: object };
    const table = text.slice(text.indexOf('| dependency | reason |'), text.indexOf('Development:'));
    const named = [...table.matchAll(/^\| (.*?) \|/gm)]
      .flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)])
      .map(([, name]) => name);
    expect(named.sort()).to.deep.equal(Object.keys(dependencies).sort());
  });

  for (const { page, text } of blocks.filter(({ text }) => /^policy:/m.test(text))) {
    it(`shows policies that load: ${page}`, () => {
      const compiled = compilePolicies([{ file: page, text }], scope);
      expect(compiled.ok ? [] : compiled.findings).to.deep.equal([]);
    });
  }

  for (const { page, text } of blocks.filter(({ text }) => /^policies:/m.test(text))) {
    it(`shows configurations that load: ${page}`, () => {
      expect(parseConfig(page, text, {})).to.have.property('config');
    });
  }

  it('has every key of the configuration on its page', () => {
    const page = read('docs/configuration.md');
    const names = keysOf(JSON.parse(read('schemas/countersign.schema.json')));
    expect(names.size).to.be.greaterThan(60);
    const missing = [...names].filter((name) => !new RegExp(`\\b${name}\\b`).test(page));
    expect(missing).to.deep.equal([]);
  });

  it('names only commands that there are', async () => {
    const { run } = await import('../../src/cli/run.js');
    let overview = '';
    await run(['--help'], { out: (line) => (overview += line), err: () => {} });
    const named = [...read('README.md').matchAll(/^\| `([a-z]+)` \| /gm)].map(([, name]) => name);
    expect(named).to.have.length.greaterThan(2);
    for (const name of named) expect(overview).to.match(new RegExp(`^  ${name} `, 'm'));
  });
});
