import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { stringify } from 'yaml';
import { checkRequest, connectionCheck, type Given } from '../support/check-request.js';
import { createWorld, said, type World } from '../support/world.js';
import {
  active,
  conditions,
  judgeSlowly,
  type PlainMcp,
  type PlainRequest,
  type PlainRule,
  principals,
} from './reference.js';

const named: Readonly<Record<string, object>> = {
  one: { spiffe: 'spiffe://prod.example/ns/a/sa/one' },
  team: { spiffe: 'spiffe://prod.example/ns/*/sa/*' },
  deep: { spiffe: 'spiffe://prod.example/ns/a/**' },
  agent: { jwt: { issuer: 'corp', subject: 'agent-*' } },
};
const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
/** A window that is open now and one that is not, whenever the test runs. */
const windows = {
  open: { timezone: 'UTC', from: '00:00', to: '24:00' },
  shut: {
    timezone: 'UTC',
    days: [dayNames[(new Date().getUTCDay() + 3) % 7]],
    from: '00:00',
    to: '24:00',
  },
};
const posture = `version: 1
updatedAt: ${new Date().toISOString()}
identities: { ${active.map((id) => `"${id}": { status: active }`).join(', ')} }
`;

const files = { 'data/posture.yaml': posture };

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
/** Once in five times a value, else undefined. */
const seldom = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });

const common = {
  effect: fc.constantFrom('permit' as const, 'permit' as const, 'deny' as const),
  mode: seldom(fc.constant('shadow' as const)),
  principals: fc.uniqueArray(
    fc.constantFrom('anyone', 'authenticated', ...Object.keys(principals)),
    { minLength: 1, maxLength: 2 },
  ),
  source: seldom(
    fc.uniqueArray(fc.constantFrom('10.0.0.0/8', '203.0.113.0/24', '10.1.2.3'), {
      minLength: 1,
      maxLength: 2,
    }),
  ),
  during: seldom(
    fc.uniqueArray(fc.constantFrom('open' as const, 'shut' as const), { minLength: 1 }),
  ),
  when: fc.option(fc.constantFrom(...Object.keys(conditions)), { nil: undefined, freq: 2 }),
};
const status = fc.constantFrom(['active'], ['active', 'other'], ['other']);
const requirement = fc.oneof(
  fc.record({ posture: fc.record({ status }) }),
  fc.constant({ maxTokenAge: '5m' as const }),
  fc.constant({ posture: { status: ['active'] }, maxTokenAge: '5m' as const }),
);
const request = {
  ...common,
  require: seldom(requirement),
  hosts: some(fc.constantFrom('api.example', '*.example', 'other.test')),
};
const paths = some(template);
const posts = fc.constantFrom(undefined, ['POST'], ['POST', 'GET']);
const mcp: fc.Arbitrary<PlainMcp> = fc.oneof(
  fc.constant({ methods: ['tools/call'], tools: ['get_*'] }),
  fc.constant({ methods: ['tools/list', 'notifications/*'] }),
  fc.constant({ tools: ['get_x'], onlyArguments: ['t'] }),
  fc.constant({ methods: ['*'] }),
);
const rule: fc.Arbitrary<Omit<PlainRule, 'id'>> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ ...request, paths, methods: some(fc.constantFrom('GET', 'POST')) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...request,
      methods: posts,
      grpc: fc.uniqueArray(fc.constantFrom('a/b', 'a/*', 'b.c/a'), { minLength: 1, maxLength: 2 }),
      paths: fc.constantFrom(undefined, ['/a/**'], ['/**']),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...request,
      paths,
      upgrade: fc.constantFrom(['websocket'], ['h2c'], ['websocket', 'h2c']),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...request,
      methods: posts,
      paths: fc.constantFrom(undefined, ['/a'], ['/a/**']),
      mcp,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...common,
      tcp: fc.constantFrom(
        {},
        { ports: [5432] },
        { sni: ['db.test', '*.example'] },
        { ports: [5432, 1], sni: ['*.example'] },
      ),
    }),
  },
);

const message = fc.oneof(
  fc.record({
    method: fc.constant('tools/call'),
    tool: fc.constantFrom('get_x', 'get_y', 'drop'),
    arguments: fc.constantFrom({}, { t: 'a' }, { t: 'b' }, { t: 'a', more: 'z' }),
  }),
  fc.record({ method: fc.constantFrom('tools/list', 'notifications/x', 'unknown') }),
);
const given: fc.Arbitrary<PlainRequest> = fc.record({
  kind: fc.constantFrom('http' as const, 'http' as const, 'http' as const, 'tcp' as const),
  method: fc.constantFrom('GET', 'POST', 'POST', 'PUT'),
  host: fc.constantFrom('api.example', 'x.api.example', 'other.test'),
  path: fc.oneof(
    fc.array(segment, { maxLength: 4 }).map((parts) => `/${parts.join('/')}`),
    fc.constantFrom('/a', '/a/b', '/b.c/a', '/a/', '/a/b/'),
  ),
  ip: fc.constantFrom('10.1.2.3', '203.0.113.9', '192.0.2.1'),
  principal: fc.constantFrom(
    '',
    'spiffe://prod.example/ns/a/sa/one',
    'spiffe://prod.example/ns/b/sa/two',
    'spiffe://prod.example/ns/a/x/y/z',
  ),
  token: fc.constantFrom('none' as const, 'none' as const, 'fresh' as const, 'old' as const),
  isGrpc: fc.constantFrom(false, false, true),
  upgrade: fc.constantFrom(
    '' as const,
    '' as const,
    '' as const,
    'websocket' as const,
    'h2c' as const,
  ),
  message: fc.option(message, { nil: undefined, freq: 3 }),
  sni: fc.constantFrom('', 'db.test', 'DB.test', 'a.example', 'a.b.example'),
  port: fc.constantFrom(5432, 1, 443),
});

/** A rule may read a capture only where one of its templates has it. */
function readable(plain: Omit<PlainRule, 'id'>): boolean {
  return (
    plain.when?.includes('path.x') !== true ||
    plain.paths?.some((path) => path.includes('{x}')) === true
  );
}

type Tokens = Readonly<Record<'fresh' | 'old', string>>;

/** The request as Envoy sends it. */
function checkOf(plain: PlainRequest, tokens: Tokens) {
  const { method, host, path, principal, ip, upgrade, isGrpc, sni, port } = plain;
  const message = method === 'POST' && !isGrpc ? plain.message : undefined;
  const { tool: name, arguments: args } = message ?? {};
  const rawBody =
    message === undefined
      ? ''
      : JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: message.method,
          params: { name, arguments: args },
        });
  const headers: Record<string, string> = { 'x-envoy-auth-partial-body': 'false' };
  if (isGrpc) headers['content-type'] = 'application/grpc';
  else if (rawBody !== '') headers['content-type'] = 'application/json';
  if (upgrade !== '') headers['upgrade'] = upgrade;
  if (plain.token !== 'none') headers['authorization'] = `Bearer ${tokens[plain.token]}`;
  const one: Given = {
    method,
    host,
    path,
    principal,
    headers,
    rawBody,
    sni,
    sourceIp: ip,
    destinationPort: port,
  };
  return plain.kind === 'tcp' ? connectionCheck(one) : checkRequest(one);
}

async function decide(world: World, plain: PlainRequest, tokens: Tokens) {
  const outcome = await world.ask(checkOf(plain, tokens));
  const shadow = outcome.record.decision.shadow.map(({ effect, rule }) => `${effect} ${rule}`);
  return { decision: said(outcome).replace(/^deny \d+/, 'deny'), shadow };
}

describe('the compiled policy against an independent, slow evaluator', () => {
  it('decides every generated request alike: effect, code, determining rule and shadows', async function () {
    this.timeout(180_000);
    const seen = new Map<string, number>();
    const count = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);
    const set = fc.array(rule.filter(readable), { minLength: 2, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        set,
        fc.array(given, { minLength: 80, maxLength: 80 }),
        async (plain, requests) => {
          const rules = plain.map((body, at) => ({ id: `r${at}`, ...body }));
          const policy = JSON.parse(
            JSON.stringify({ version: 1, policy: 'p', principals: named, windows, rules }),
          );
          const text = stringify(policy);
          const world = await createWorld(text, files);
          const errors = world.loader.findings().filter(({ severity }) => severity === 'error');
          expect(errors, text).to.deep.equal([]);
          const at = Math.floor(Date.now() / 1000);
          const tokens = {
            fresh: await world.corp.sign({ sub: 'agent-1' }),
            old: await world.corp.sign({ sub: 'agent-1', iat: at - 1200, exp: at + 600 }),
          };
          for (const one of requests) {
            const want = judgeSlowly(rules, one);
            const got = await decide(world, one, tokens);
            const told = `${text}\n${JSON.stringify(one)}\n${JSON.stringify({ got, want })}`;
            expect(got, told).to.deep.equal(want);
            count(want.decision.replace(/ r\d+$/, ''));
            if (want.shadow.length > 0) count('shadow');
            if (want.decision.startsWith('permit')) {
              const decisive = rules.find(({ id }) => want.decision === `permit ${id}`);
              for (const key of [
                'grpc',
                'upgrade',
                'mcp',
                'tcp',
                'source',
                'during',
                'require',
                'when',
              ] as const) {
                if (decisive?.[key] !== undefined) count(`permit by a rule with ${key}`);
              }
            }
          }
          world.close();
        },
      ),
      { seed: 20261124, numRuns: 250, endOnFailure: true },
    );
    const total = [...seen].filter(([what]) => /^(?:permit$|deny )/.test(what));
    expect(total.reduce((sum, [, times]) => sum + times, 0)).to.equal(20_000);
    const often = ['permit', 'deny denied_by_rule', 'deny no_rule', 'shadow'];
    for (const what of often) expect(seen.get(what), what).to.be.greaterThan(300);
    const all = [
      'deny credential_missing',
      'deny principal_not_allowed',
      'deny source_not_allowed',
      'deny outside_window',
      'deny posture_unknown',
      'deny posture_refused',
      'deny token_too_old',
      'deny condition_false',
      'deny mcp_malformed',
      ...['grpc', 'upgrade', 'mcp', 'tcp', 'source', 'during', 'require', 'when'].map(
        (key) => `permit by a rule with ${key}`,
      ),
    ];
    for (const what of all) expect(seen.get(what), what).to.be.greaterThan(4);
  });
});
