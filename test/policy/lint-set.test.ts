import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { stringify } from 'yaml';
import { compilePolicies } from '../../src/policy/compile.js';
import type { CompiledRule } from '../../src/policy/compile-rule.js';
import { parseHostPattern } from '../../src/policy/host-pattern.js';
import { lintSet } from '../../src/policy/lint-set.js';

const principals = { one: 'spiffe://td/ns/a/sa/one', two: 'spiffe://td/ns/a/sa/two' };
const some = <T>(value: fc.Arbitrary<T>, maxLength = 2) =>
  fc.option(fc.uniqueArray(value, { minLength: 1, maxLength }), { nil: undefined, freq: 3 });
const rule = fc.record({
  effect: fc.constantFrom('permit', 'permit', 'deny'),
  mode: fc.constantFrom(undefined, undefined, undefined, 'shadow'),
  principals: fc.uniqueArray(fc.constantFrom('one', 'two', 'anyone', 'authenticated'), {
    minLength: 1,
    maxLength: 2,
  }),
  hosts: some(fc.constantFrom('a.test', '*.test', 'a.test:8443', 'b.a.test')),
  methods: some(fc.constantFrom('GET', 'POST')),
  paths: some(
    fc.constantFrom(
      '/a',
      '/a/',
      '/a/b',
      '/a/{x}',
      '/a/*',
      '/a/**',
      '/**',
      '/**/b',
      '/a/**/b',
      '/a/b/c',
    ),
    3,
  ),
  upgrade: fc.constantFrom(undefined, undefined, undefined, ['websocket']),
  when: fc.constantFrom(undefined, undefined, undefined, 'request.method == "GET"'),
  source: fc.constantFrom(undefined, undefined, undefined, ['10.0.0.0/8']),
});

/** The rules as the lint sees them: with the patterns that the index finds them by. */
function compile(rules: readonly object[]): readonly CompiledRule[] {
  const entries = rules.map((body, at) => ({ id: `r${at}`, ...body }));
  const named = Object.entries(principals).map(([name, spiffe]) => [name, { spiffe }]);
  const text = stringify({
    version: 1,
    policy: 'p',
    principals: Object.fromEntries(named),
    rules: JSON.parse(JSON.stringify(entries)),
  });
  const scope = { issuers: [], approvals: [], facts: {}, dataFiles: [] };
  const compiled = compilePolicies([{ file: 'p.yaml', text }], scope);
  if (!compiled.ok) throw new Error(compiled.findings.map(({ message }) => message).join('; '));
  return compiled.set.rules.map((one) => ({
    rule: one,
    hosts: one.route.hosts?.map(parseHostPattern).filter((pattern) => typeof pattern !== 'string'),
    templates: one.route.templates,
  }));
}

describe('the lint of a set', () => {
  it('finds by index what trying every pair of rules finds', () => {
    const found: Record<string, number> = {};
    fc.assert(
      fc.property(fc.array(rule, { minLength: 2, maxLength: 14 }), (plain) => {
        const rules = compile(plain);
        const slowly = lintSet(rules, () => rules.map((one) => one.rule));
        expect(lintSet(rules)).to.deep.equal(slowly);
        for (const { code } of slowly) found[code] = (found[code] ?? 0) + 1;
      }),
      { seed: 20261124, numRuns: 400 },
    );
    expect(found['unreachable_rule']).to.be.greaterThan(50);
    expect(found['covered_rule']).to.be.greaterThan(50);
  });

  it('looks at no rule of another caller or method, however many share a path', () => {
    const rules = compile(
      Array.from({ length: 300 }, (_, at) => ({
        effect: 'permit',
        principals: [at % 2 === 0 ? 'one' : 'two'],
        methods: [`M${at}`],
        paths: ['/mcp'],
      })),
    );
    let reads = 0;
    const counted = rules.map(({ rule: one, ...rest }) => ({
      ...rest,
      rule: new Proxy(one, {
        get: (target, key, receiver) => {
          reads += 1;
          return Reflect.get(target, key, receiver);
        },
      }),
    }));
    expect(lintSet(counted)).to.deep.equal([]);
    expect(reads).to.be.below(300 * 60);
  });
});
