import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { stringify } from 'yaml';
import { compilePolicies } from '../../src/policy/compile.js';
import type { PolicySet } from '../../src/policy/policy-set.js';
import { connection, httpRequest } from './requests.js';

interface PlainRule {
  readonly hosts?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly grpc?: readonly string[] | undefined;
  readonly tcp?: { readonly ports?: readonly number[]; readonly sni?: readonly string[] };
}

/** One deny a rule, `r0 r1 …` in order. */
function compile(rules: readonly PlainRule[]): PolicySet {
  const entries = rules.map((rule, at) => ({ id: `r${at}`, effect: 'deny', ...rule }));
  const text = stringify({ version: 1, policy: 'p', rules: JSON.parse(JSON.stringify(entries)) });
  const scope = { issuers: [], approvals: [], facts: {}, dataFiles: [] };
  const compiled = compilePolicies([{ file: 'p.yaml', text }], scope);
  if (!compiled.ok) throw new Error(compiled.findings.map(({ message }) => message).join('; '));
  return compiled.set;
}

type Captured = Readonly<Record<string, string>>;

/** The captures of a template, by trying every way; undefined when none leads to the end. */
function matchSlowly(parts: readonly string[], segments: readonly string[]): Captured | undefined {
  const [part, ...rest] = parts;
  if (part === undefined) return segments.length === 0 ? {} : undefined;
  if (part === '**') {
    for (let skipped = 0; skipped <= segments.length; skipped += 1) {
      const found = matchSlowly(rest, segments.slice(skipped));
      if (found !== undefined) return found;
    }
    return undefined;
  }
  const [segment, ...others] = segments;
  if (segment === undefined) return undefined;
  const isPlaceholder = part === '*' || part.startsWith('{');
  if (isPlaceholder ? segment === '' : part !== segment) return undefined;
  const found = matchSlowly(rest, others);
  if (found === undefined || !part.startsWith('{')) return found;
  return { ...found, [part.slice(1, -1)]: segment };
}

/** The rules are denies: a request that names no port could be for any. */
function hostMatches(pattern: string, host: string): boolean {
  const [name, port] = host.split(':');
  const [wanted = '', wantedPort] = pattern.split(':');
  if (wantedPort !== undefined && port !== undefined && wantedPort !== port) return false;
  return wanted.startsWith('*.')
    ? name?.split('.').slice(1).join('.') === wanted.slice(2)
    : name === wanted;
}

/** What the index has to find, by trying each rule: id and the captures of every template. */
function findSlowly(rules: readonly PlainRule[], host: string, path: string) {
  return rules.flatMap(({ hosts, paths }, at) => {
    if (hosts !== undefined && !hosts.some((pattern) => hostMatches(pattern, host))) return [];
    if (paths === undefined) return [{ id: `r${at}`, captures: ['{}'] }];
    const captures = paths
      .map((template) => matchSlowly(template.slice(1).split('/'), path.slice(1).split('/')))
      .filter((found) => found !== undefined)
      .map((found) => JSON.stringify(found, Object.keys(found).sort()));
    return captures.length === 0 ? [] : [{ id: `r${at}`, captures: captures.sort() }];
  });
}

function find(set: PolicySet, host: string, path: string) {
  return set.candidates(httpRequest(host, path)).map(({ rule, captures }) => ({
    id: rule.id,
    captures: captures.map((found) => JSON.stringify(found, Object.keys(found).sort())).sort(),
  }));
}

const segment = fc.constantFrom('a', 'b', 'c');
const part = fc.oneof({ weight: 4, arbitrary: segment }, fc.constantFrom('*', '{x}', '**', '**'));
/** Templates of the grammar, with any number of `**` and with a trailing slash. */
const template = fc
  .tuple(fc.array(part, { maxLength: 6 }), fc.constantFrom('', '', '', '/'))
  .map(([parts, slash]) => `/${parts.join('/')}${parts.length === 0 ? '' : slash}`)
  .filter((text) => {
    const parts = text.slice(1).split('/');
    const anys = parts.flatMap((name, at) => (name === '**' ? [at] : []));
    const capture = parts.indexOf('{x}');
    const isBetween = capture > (anys[0] ?? Infinity) && capture < (anys.at(-1) ?? -1);
    return (
      !isBetween &&
      parts.lastIndexOf('{x}') === capture &&
      anys.every((at) => at === parts.length - 1 || /^[abc]?$/.test(parts[at + 1] ?? '*'))
    );
  });
const some = <T>(value: fc.Arbitrary<T>) =>
  fc.option(fc.uniqueArray(value, { minLength: 1, maxLength: 3 }), { nil: undefined });
const rule = fc.record({
  hosts: some(fc.constantFrom('a.test', '*.test', 'a.test:8443', '*.a.test', 'b.example')),
  paths: fc.oneof({ weight: 6, arbitrary: some(template) }, fc.constant(undefined)),
});
const host = fc.constantFrom('a.test', 'a.test:8443', 'x.a.test', 'test', 'b.example', '');
const path = fc
  .tuple(fc.array(segment, { maxLength: 7 }), fc.constantFrom('', '', '/'))
  .map(([parts, slash]) => `/${parts.join('/')}${parts.length === 0 ? '' : slash}`);

describe('the rule index', () => {
  it('finds what trying each rule finds, in file order, each once, with all captures', () => {
    let found = 0;
    let empty = 0;
    const rules = fc.array(rule, { minLength: 1, maxLength: 12 });
    const requests = fc.array(fc.tuple(host, path), { minLength: 30, maxLength: 30 });
    fc.assert(
      fc.property(rules, requests, (plain, asked) => {
        const set = compile(plain);
        for (const [name, where] of asked) {
          const want = findSlowly(plain, name, where);
          expect(find(set, name, where), `${name} ${where}`).to.deep.equal(want);
          found += want.length;
          empty += want.length === 0 ? 1 : 0;
        }
      }),
      { seed: 20261124, numRuns: 400 },
    );
    expect(found, 'rules are found').to.be.greaterThan(10_000);
    expect(empty, 'and sometimes none').to.be.greaterThan(500);
  });

  const shapes: readonly { name: string; path: string; rule: (at: number) => string }[] = [
    { name: 'a literal of its own', path: '/s7/items/3', rule: (at) => `/s${at}/items/{id}` },
    { name: '"**" first', path: '/u/v/x7', rule: (at) => `/**/x${at}` },
    { name: '"**" before a shared literal', path: '/u/api/x7', rule: (at) => `/**/api/x${at}` },
    { name: 'two "**"', path: '/u/api/v/x7', rule: (at) => `/**/api/**/x${at}` },
    { name: '"**" in the middle', path: '/s7/u/export', rule: (at) => `/s${at}/**/export` },
  ];
  for (const { name, path: where, rule: pathOf } of shapes) {
    it(`reads a path as often for 2,000 rules as for 10: ${name}`, () => {
      const few = readsOf(
        compile(Array.from({ length: 10 }, (_, at) => ({ paths: [pathOf(at)] }))),
      );
      const many = readsOf(
        compile(Array.from({ length: 2000 }, (_, at) => ({ paths: [pathOf(at)] }))),
      );
      expect(many).to.deep.equal(few);
      function readsOf(set: PolicySet) {
        const { segments, count } = counted(where.slice(1).split('/'));
        const request = httpRequest('a.test', where, { path: { raw: where, segments } });
        const ids = set.candidates(request).map(({ rule: { id } }) => id);
        return { ids, reads: count() };
      }
    });
  }

  it('is bounded for many "**" and a path that almost matches', () => {
    const paths = ['/**/a/**/a/**/a/**/a/**/a/**/b', '/**/a/**/a/**/a/**/c'];
    const { segments, count } = counted(Array.from({ length: 400 }, () => 'a'));
    const request = httpRequest('a.test', '/', { path: { raw: '/', segments } });
    expect(compile([{ paths }]).candidates(request)).to.deep.equal([]);
    expect(count()).to.be.lessThan(10 * 400 * 12);
  });

  it('finds a gRPC rule without paths by the paths of its calls', () => {
    const set = compile([{ grpc: ['shop.Orders/Get'] }, { grpc: ['shop.Orders/*'] }]);
    const ids = (where: string) => find(set, 'a.test', where).map(({ id }) => id);
    expect(ids('/shop.Orders/Get')).to.deep.equal(['r0', 'r1']);
    expect(ids('/shop.Orders/Put')).to.deep.equal(['r1']);
    expect(ids('/shop.Other/Get')).to.deep.equal([]);
  });
});

/** Segments that count how often they are read. */
function counted(segments: readonly string[]) {
  let reads = 0;
  const proxy = new Proxy(segments, {
    get: (target, key, receiver) => {
      reads += 1;
      return Reflect.get(target, key, receiver);
    },
  });
  return { segments: proxy, count: () => reads };
}

describe('rules for connections', () => {
  const rules = [
    { tcp: { sni: ['db.example'] } },
    { tcp: { sni: ['*.example'] } },
    { tcp: { ports: [5432] } },
    { tcp: { ports: [6379], sni: ['DB.Example'] } },
    { paths: ['/**'] },
    {},
  ];
  const rows: readonly { name: string; sni: string; port?: number; want: readonly string[] }[] = [
    { name: 'an exact name, and its wildcard', sni: 'db.example', port: 1, want: ['r0', 'r1'] },
    { name: 'a name in another case', sni: 'Db.eXample', port: 6379, want: ['r0', 'r1', 'r3'] },
    { name: 'a trailing dot is dropped', sni: 'db.example.', port: 1, want: ['r0', 'r1'] },
    { name: 'a wildcard is one label more, not none', sni: 'example', port: 1, want: [] },
    { name: 'an empty label is no label', sni: '.example', port: 1, want: [] },
    { name: 'a wildcard is one label more, not two', sni: 'a.b.example', port: 1, want: [] },
    { name: 'no SNI: by port alone', sni: '', port: 5432, want: ['r2'] },
    { name: 'a port that is not known', sni: 'other', want: [] },
  ];
  for (const { name, sni, port, want } of rows) {
    it(`are found by SNI and port: ${name}`, () => {
      const ids = compile(rules).candidates(connection(sni, port));
      expect(ids.map(({ rule: { id } }) => id)).to.deep.equal(want);
    });
  }

  it('are for no request', () => {
    expect(find(compile(rules), 'db.example', '/x').map(({ id }) => id)).to.deep.equal([
      'r4',
      'r5',
    ]);
  });
});
