import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { run } from '../../src/cli/run.js';
import { conditionFunctions } from '../../src/policy/condition-functions.js';
import { variableShapes } from '../../src/policy/condition-variables.js';
import { createWorld, type World } from '../support/world.js';

const page = readFileSync('docs/policy.md', 'utf8');
const [policy = '', suite = ''] = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(
  ([, text = '']) => text,
);
const tableOf = (column: string) =>
  page.slice(page.indexOf(`| ${column} |`)).split('\n\n')[0] ?? '';
/** First cells of a table by the name of its first column. */
const cells = (column: string) =>
  [...tableOf(column).matchAll(/^\| `([A-Za-z]+)` \|/gm)].map(([, name]) => name);

describe('docs/policy.md', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
    world.write('suite.yaml', suite);
  });
  after(() => world.close());

  it('shows a policy that decides its suite as stated, every rule of it', async () => {
    let out = '';
    const io = { out: (text: string) => (out += text), err: (text: string) => (out += text) };
    const files = [join(world.folder, 'countersign.yaml'), join(world.folder, 'suite.yaml')];
    const code = await run(['test', '--json', '-c', ...files], io);
    const { results, undecided } = JSON.parse(out);
    const failed = results.filter(({ isGood }: { isGood: boolean }) => !isGood);
    expect(failed).to.deep.equal([]);
    expect(code).to.equal(0);
    expect(undecided).to.deep.equal({ rules: [], principals: [], neverTrue: [], neverFalse: [] });
  });

  it('says what `validate` says of it', () => {
    const said = world.loader.findings().map(({ code, path }) => `${code} ${path}`);
    expect(said).to.deep.equal(['memory_replay replay', 'deny_slash no-bulk-export']);
  });

  it('has every key of a rule, and no other', () => {
    const schema = JSON.parse(readFileSync('schemas/policy.schema.json', 'utf8'));
    expect(cells('key')).to.deep.equal(Object.keys(schema.properties.rules.items.properties));
  });

  it('has every variable of a condition with its members, and no other', () => {
    const open = ['path', 'facts', 'data'];
    expect(cells('variable').sort()).to.deep.equal(
      [...Object.keys(variableShapes), ...open].sort(),
    );
    for (const [name, shape] of Object.entries(variableShapes)) {
      const row =
        new RegExp(`^\\| \`${name}\` \\| (.*) \\|$`, 'm').exec(tableOf('variable'))?.[1] ?? '';
      const members = typeof shape === 'string' ? [] : Object.keys(shape.members);
      expect([...row.matchAll(/`([A-Za-z]+)`/g)].map(([, member]) => member)).to.deep.equal(
        members,
      );
    }
  });

  it('has every function of ours, and no other', () => {
    const own = conditionFunctions(new Map()).map(({ name }) => name);
    expect(cells('function').sort()).to.deep.equal([...new Set(own)].sort());
  });
});
