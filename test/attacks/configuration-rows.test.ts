import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { compilePolicies } from '../../src/policy/compile.js';
import { createWorld, said, type World } from '../support/world.js';

const scope = { issuers: [], approvals: [], facts: {}, dataFiles: [] };

/** The codes of a policy with one path. */
function faultsOf(path: string): readonly string[] {
  const text = `version: 1
policy: p
rules:
  - { id: a, effect: permit, principals: [anyone], methods: [GET], paths: [${JSON.stringify(path)}] }
`;
  const compiled = compilePolicies([{ file: 'p.yaml', text }], scope);
  return compiled.ok ? [] : compiled.findings.map(({ code }) => code);
}

describe('a rule that Envoy never delivers a request for (row 142)', () => {
  const rows: readonly { name: string; path: string }[] = [
    { name: 'merge_slashes', path: '/a//b' },
    { name: 'merge_slashes at the start', path: '//a' },
    { name: 'normalize_path', path: '/a/../b' },
    { name: 'normalize_path of one dot', path: '/a/./b' },
    { name: 'normalize_path of escaped dots', path: '/a/%2e%2e/b' },
    { name: 'an escaped slash, which is rejected', path: '/a%2Fb' },
    { name: 'an escaped backslash', path: '/a%5Cb' },
    { name: 'a backslash, which becomes a slash', path: '/a\\b' },
    { name: 'a fragment', path: '/a#b' },
    { name: 'a query', path: '/a?b=c' },
  ];
  for (const { name, path } of rows) {
    it(`is refused at load: ${name}`, () => {
      expect(faultsOf(path)).to.deep.equal(['bad_path']);
    });
  }

  it('is not refused where Envoy delivers one', () => {
    expect(['/a', '/a/', '/a.b/c', '/a/{id}/**'].flatMap(faultsOf)).to.deep.equal([]);
  });
});

describe('shadow rules (row 143)', () => {
  const policy = `version: 1
policy: p
mode: shadow
rules:
  - { id: everything, effect: permit, principals: [anyone], paths: ["/**"] }
  - { id: nothing, effect: deny, paths: [/closed] }
`;
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  it('permit nothing, though every one of them would', async () => {
    const outcome = await world.ask({ path: '/a' });
    expect(said(outcome)).to.equal('deny 403 no_rule');
    expect(outcome.record.decision.shadow.map(({ rule, effect }) => [rule, effect])).to.deep.equal([
      ['everything', 'permit'],
    ]);
  });

  it('are told of together in the record', async () => {
    const { record } = await world.ask({ path: '/closed' });
    expect(record.decision.shadow.map(({ rule }) => rule)).to.have.members([
      'everything',
      'nothing',
    ]);
  });

  it('are all the dry running there is: no key of the configuration permits everything', async () => {
    const { parseConfig } = await import('../../src/config/parse-config.js');
    for (const key of ['mode: shadow', 'dryRun: true', 'enforce: false', 'shadow: true']) {
      const parsed = parseConfig('c.yaml', `version: 1\npolicies: [p]\n${key}\n`, {});
      expect(parsed).to.have.nested.property('[0].code', 'unknown_key');
    }
  });
});
