import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { stringify } from 'yaml';
import { encodeCheckRequest } from '../../src/wire/external-auth.js';
import { checkRequest } from '../support/check-request.js';
import { createWorld, said } from '../support/world.js';
import {
  conditions,
  judgeSlowly,
  type PlainRequest,
  type PlainRule,
  principals,
} from './reference.js';

const patterns: Readonly<Record<string, string>> = {
  one: 'spiffe://prod.example/ns/a/sa/one',
  team: 'spiffe://prod.example/ns/*/sa/*',
  deep: 'spiffe://prod.example/ns/a/**',
};

const segment = fc.constantFrom('a', 'b', 'c', 'export');
const part = fc.oneof({ weight: 4, arbitrary: segment }, fc.constantFrom('*', '{x}', '**'));
/** Templates of the grammar: `**` last or before a literal, one capture. */
const template = fc
  .array(part, { minLength: 0, maxLength: 4 })
  .filter((parts) => parts.filter((name) => name === '{x}').length <= 1)
  .filter((parts) =>
    parts.every(
      (name, at) =>
        name !== '**' || at === parts.length - 1 || /^[a-z]+$/.test(parts[at + 1] ?? ''),
    ),
  )
  .filter((parts) => parts.filter((name) => name === '**').length <= 1)
  .map((parts) => `/${parts.join('/')}`);
const some = <T>(value: fc.Arbitrary<T>) =>
  fc.option(fc.uniqueArray(value, { minLength: 1, maxLength: 2 }), { nil: undefined });

const rule = fc.record({
  effect: fc.constantFrom('permit' as const, 'permit' as const, 'deny' as const),
  principals: fc.uniqueArray(
    fc.constantFrom('anyone', 'authenticated', ...Object.keys(principals)),
    {
      minLength: 1,
      maxLength: 2,
    },
  ),
  hosts: some(fc.constantFrom('api.example', '*.example', 'other.test')),
  methods: some(fc.constantFrom('GET', 'POST')),
  paths: some(template),
  source: some(fc.constantFrom('10.0.0.0/8', '203.0.113.0/24', '10.1.2.3')),
  when: fc.option(fc.constantFrom(...Object.keys(conditions)), { nil: undefined, freq: 2 }),
});
const request: fc.Arbitrary<PlainRequest> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT'),
  host: fc.constantFrom('api.example', 'x.api.example', 'other.test'),
  path: fc.array(segment, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
  ip: fc.constantFrom('10.1.2.3', '203.0.113.9', '192.0.2.1'),
  principal: fc.constantFrom(
    '',
    'spiffe://prod.example/ns/a/sa/one',
    'spiffe://prod.example/ns/b/sa/two',
    'spiffe://prod.example/ns/a/x/y/z',
  ),
});

/** A rule may read a capture only where one of its templates has it. */
function readable(plain: Omit<PlainRule, 'id'>): boolean {
  return (
    plain.when?.includes('path.x') !== true ||
    plain.paths?.some((path) => path.includes('{x}')) === true
  );
}

describe('the compiled policy against an independent, slow evaluator', () => {
  it('decides every generated request alike: effect and determining rule', async function () {
    this.timeout(120_000);
    let decided = 0;
    let permits = 0;
    const set = fc.array(rule.filter(readable), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        set,
        fc.array(request, { minLength: 50, maxLength: 50 }),
        async (plain, requests) => {
          const rules = plain.map((body, at) => ({ id: `r${at}`, ...body }));
          const text = stringify({
            version: 1,
            policy: 'p',
            principals: Object.fromEntries(
              Object.entries(patterns).map(([name, spiffe]) => [name, { spiffe }]),
            ),
            rules: JSON.parse(JSON.stringify(rules)),
          });
          const world = await createWorld(text);
          expect(
            world.loader.findings().filter(({ severity }) => severity === 'error'),
          ).to.deep.equal([]);
          for (const given of requests) {
            const { ip, ...rest } = given;
            const outcome = await world.askBytes(
              encodeCheckRequest(checkRequest({ ...rest, sourceIp: ip })),
            );
            const [effect, , code, id] = said(outcome).split(' ');
            const decision =
              effect === 'permit'
                ? said(outcome)
                : code === 'denied_by_rule'
                  ? `deny ${id}`
                  : 'deny';
            expect(decision, `${text}\n${JSON.stringify(given)}`).to.equal(
              judgeSlowly(rules, given),
            );
            decided += 1;
            permits += effect === 'permit' ? 1 : 0;
          }
          world.close();
        },
      ),
      { seed: 20261124, numRuns: 240 },
    );
    expect(decided).to.be.at.least(12_000);
    expect(permits, 'the generated policies permit something').to.be.greaterThan(300);
  });
});
