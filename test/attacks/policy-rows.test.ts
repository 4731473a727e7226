import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Given } from '../support/check-request.js';
import { createWorld, said, type World } from '../support/world.js';

const planner = 'spiffe://prod.example/ns/agents/sa/planner';
const policy = `version: 1
policy: attacks
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
  both: { spiffe: "${planner}", jwt: { issuer: corp, subject: agent-7 } }
  robot: { jwt: { issuer: corp, subject: ci-robot, claims: { access: write } } }
  aws: { jwt: { issuer: corp, subject: "arn:aws:iam::1:role/ci", claims: { "https://sts.amazonaws.com/": { principal_tags: { environment: production } } } } }
  tasks: { jwt: { issuer: corp, subject: reader } }
rules:
  - { id: customer, effect: permit, principals: [agent], methods: [GET], paths: ["/t/{tenant}/c/{id}"], when: token.claims.tenant == path.tenant }
  - { id: change, effect: permit, principals: [agent], methods: [PUT], paths: ["/c/{id}"], when: request.body.id == path.id }
  - { id: agree, effect: permit, principals: [both], methods: [GET], paths: [/agree] }
  - { id: permit-first, effect: permit, principals: [agent], methods: [GET], paths: [/first] }
  - { id: deny-second, effect: deny, principals: [agent], paths: [/first] }
  - { id: deny-first, effect: deny, principals: [agent], paths: [/second] }
  - { id: permit-second, effect: permit, principals: [agent], methods: [GET], paths: [/second] }
  - { id: mint, effect: permit, principals: [robot], methods: [POST], paths: [/secrets], when: token.claims.environment == "production" }
  - { id: aws, effect: permit, principals: [aws], methods: [GET], paths: [/aws] }
  - { id: slow, effect: permit, principals: [agent], methods: [GET], paths: [/slow], when: token.claims.text.matches("(a+)+$") }
  - { id: text, effect: permit, principals: [agent], methods: [GET], paths: [/text], when: token.claims.flag }
  - { id: guard, effect: deny, paths: [/guarded], when: token.claims.missing == "x" }
  - { id: guarded, effect: permit, principals: [agent], methods: [GET], paths: [/guarded] }
  - { id: tool, effect: permit, principals: [agent], paths: [/mcp], mcp: { tools: [read_order], onlyArguments: [order] }, when: mcp.arguments.order in token.claims.orders }
  - { id: task, effect: permit, principals: [tasks], methods: [GET], paths: ["/tasks/{id}"] }
`;

const call = (order: string, more: object = {}): Given => ({
  method: 'POST',
  path: '/mcp',
  headers: { 'content-type': 'application/json' },
  rawBody: JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'read_order', arguments: { order }, ...more },
  }),
});
const get = (path: string): Given => ({ path });
const put = (id: string): Given => ({
  method: 'PUT',
  path: '/c/c-1',
  headers: { 'content-type': 'application/json' },
  rawBody: JSON.stringify({ id }),
});

interface Row {
  readonly name: string;
  /** Claims of the token beside the registered ones; undefined: no token. */
  readonly claims?: object;
  readonly given: Given;
  readonly want: string;
}

const agent = (claims: object = {}) => ({ sub: 'agent-7', ...claims });
const acme = agent({ tenant: 'acme' });
const malformed = 'deny 400 path_ambiguous';
const outside = 'deny 403 condition_false customer';

const rows: readonly Row[] = [
  {
    name: 'the tenant of the token',
    claims: acme,
    given: get('/t/acme/c/1'),
    want: 'permit customer',
  },
  {
    name: 'D1 an encoded slash',
    claims: acme,
    given: get('/t/acme%2F..%2Fevil/c/1'),
    want: malformed,
  },
  {
    name: 'D1 a twice encoded slash',
    claims: acme,
    given: get('/t/acme%252F/c/1'),
    want: malformed,
  },
  { name: 'D1 an encoded backslash', claims: acme, given: get('/t/acme%5C/c/1'), want: malformed },
  { name: 'D1 a path parameter', claims: acme, given: get('/t/acme;x=1/c/1'), want: malformed },
  { name: 'D1 an empty segment', claims: acme, given: get('/t//acme/c/1'), want: malformed },
  { name: 'D1 a dot segment', claims: acme, given: get('/t/./acme/c/1'), want: malformed },
  { name: 'D1 NUL', claims: acme, given: get('/t/acme%00/c/1'), want: malformed },
  { name: 'D1 no leading slash', claims: acme, given: get('t/acme/c/1'), want: malformed },
  { name: 'D1 an asterisk', claims: acme, given: get('*'), want: malformed },
  {
    name: 'D1 an absolute form',
    claims: acme,
    given: get('https://api.example/t/acme/c/1'),
    want: malformed,
  },
  { name: 'D2 another tenant', claims: acme, given: get('/t/evil/c/1'), want: outside },
  { name: 'D2 another case', claims: acme, given: get('/t/ACME/c/1'), want: outside },
  { name: 'D2 a trailing blank', claims: acme, given: get('/t/acme%20/c/1'), want: outside },
  { name: 'D2 a homoglyph', claims: acme, given: get('/t/%D0%B0cme/c/1'), want: outside },
  {
    name: 'D4 the same id in body and path',
    claims: agent(),
    given: put('c-1'),
    want: 'permit change',
  },
  {
    name: 'D4 another id in the body',
    claims: agent(),
    given: put('c-2'),
    want: 'deny 403 condition_false change',
  },
  {
    name: 'D5 a tenant that is *',
    claims: agent({ tenant: '*' }),
    given: get('/t/acme/c/1'),
    want: outside,
  },
  {
    name: 'D5 a list of tenants',
    claims: agent({ tenant: ['acme'] }),
    given: get('/t/acme/c/1'),
    want: outside,
  },
  {
    name: 'D5 a tenant that is null',
    claims: agent({ tenant: null }),
    given: get('/t/acme/c/1'),
    want: outside,
  },
  { name: 'D5 no tenant', claims: agent(), given: get('/t/acme/c/1'), want: outside },
  {
    name: 'D5 an empty tenant',
    claims: agent({ tenant: '' }),
    given: get('/t/acme/c/1'),
    want: outside,
  },
  {
    name: 'D7 a deny behind a permit',
    claims: agent(),
    given: get('/first'),
    want: 'deny 403 denied_by_rule deny-second',
  },
  {
    name: 'D7 a deny before a permit',
    claims: agent(),
    given: get('/second'),
    want: 'deny 403 denied_by_rule deny-first',
  },
  { name: 'D8 no rule', claims: agent(), given: get('/nowhere'), want: 'deny 403 no_rule' },
  {
    name: 'C5 a token of one over the mTLS of the same',
    claims: agent(),
    given: { ...get('/agree'), principal: planner },
    want: 'permit agree',
  },
  {
    name: 'C5 a token of one over the mTLS of another',
    claims: agent(),
    given: { ...get('/agree'), principal: 'spiffe://prod.example/ns/x/sa/other' },
    want: 'deny 403 principal_not_allowed agree',
  },
  {
    name: 'C5 a token without the mTLS',
    claims: agent(),
    given: get('/agree'),
    want: 'deny 403 principal_not_allowed agree',
  },
  {
    name: 'D20 a robot that may only read',
    claims: { sub: 'ci-robot', access: 'read', environment: 'production' },
    given: { method: 'POST', path: '/secrets' },
    want: 'deny 403 principal_not_allowed mint',
  },
  {
    name: 'D20 Production for production',
    claims: { sub: 'ci-robot', access: 'write', environment: 'Production' },
    given: { method: 'POST', path: '/secrets' },
    want: 'deny 403 condition_false mint',
  },
  {
    name: 'B23 tags that the caller chose',
    claims: {
      sub: 'arn:aws:iam::1:role/ci',
      'https://sts.amazonaws.com/': { request_tags: { environment: 'production' } },
    },
    given: get('/aws'),
    want: 'deny 403 principal_not_allowed aws',
  },
  {
    name: 'B23 tags of the role',
    claims: {
      sub: 'arn:aws:iam::1:role/ci',
      'https://sts.amazonaws.com/': { principal_tags: { environment: 'production' } },
    },
    given: get('/aws'),
    want: 'permit aws',
  },
  {
    name: 'D22 a regular expression that backtracking would not survive',
    claims: agent({ text: `${'a'.repeat(5000)}!` }),
    given: get('/slow'),
    want: 'deny 403 condition_false slow',
  },
  {
    name: 'D22 a condition that is a text',
    claims: agent({ flag: 'true' }),
    given: get('/text'),
    want: 'deny 403 condition_false text',
  },
  {
    name: 'D22 a condition that is 1',
    claims: agent({ flag: 1 }),
    given: get('/text'),
    want: 'deny 403 condition_false text',
  },
  {
    name: 'D22 a condition that is true',
    claims: agent({ flag: true }),
    given: get('/text'),
    want: 'permit text',
  },
  {
    name: 'D22 a deny rule that cannot be told',
    claims: agent(),
    given: get('/guarded'),
    want: 'deny 403 denied_by_rule guard',
  },
  {
    name: 'D22 a deny rule that can be told',
    claims: agent({ missing: 'y' }),
    given: get('/guarded'),
    want: 'permit guarded',
  },
  {
    name: 'E16 the tool on an object of its own',
    claims: agent({ orders: ['o-1'] }),
    given: call('o-1'),
    want: 'permit tool',
  },
  {
    name: 'E16 the tool on an object that a prompt named',
    claims: agent({ orders: ['o-1'] }),
    given: call('o-2'),
    want: 'deny 403 condition_false tool',
  },
  {
    name: 'E10 a call sent again with other arguments',
    claims: agent({ orders: ['o-1'] }),
    given: call('o-2', { requestState: 's' }),
    want: 'deny 403 condition_false tool',
  },
  {
    name: 'E10 inputs by somebody else',
    claims: { sub: 'robot-1', orders: ['o-1'] },
    given: call('o-1', { inputResponses: { a: {} } }),
    want: 'deny 403 principal_not_allowed tool',
  },
  {
    name: 'E17 a read of a task',
    claims: { sub: 'reader' },
    given: get('/tasks/42'),
    want: 'permit task',
  },
  {
    name: 'E17 the cancel of a task by a right to read it',
    claims: { sub: 'reader' },
    given: { method: 'POST', path: '/tasks/42:cancel' },
    want: 'deny 403 no_rule',
  },
];

describe('attacks on policies (IDENTITY rows B, C, D, E)', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  it('loads its policy', () => {
    const errors = world.loader.findings().filter(({ severity }) => severity === 'error');
    expect(errors).to.deep.equal([]);
  });

  for (const { name, claims, given, want } of rows) {
    it(`${name}: ${want}`, async () => {
      const bearer =
        claims === undefined
          ? {}
          : { authorization: `Bearer ${await world.corp.sign({ ...claims })}` };
      const headers = { ...('headers' in given ? given.headers : {}), ...bearer };
      expect(said(await world.ask({ ...given, headers }))).to.equal(want);
    });
  }

  it('D25 decides the same token anew when the posture changes', async () => {
    const headers = { authorization: `Bearer ${await world.corp.sign(acme)}` };
    const ask = async () => said(await world.ask({ path: '/t/acme/c/1', headers }));
    const posture = async (status: string) => {
      const listed = `"corp:agent-7": { status: ${status} }`;
      world.write(
        'data/posture.yaml',
        `version: 1\nupdatedAt: ${new Date().toISOString()}\nidentities: { ${listed} }\n`,
      );
      await world.loader.load();
    };
    expect(await ask()).to.equal('permit customer');
    await posture('suspended');
    expect(await ask()).to.equal('deny 403 posture_refused');
    await posture('active');
    expect(await ask()).to.equal('permit customer');
  });
});

describe('D16 approvals and a restart', () => {
  it('are spent for good where the store is shared, and warned of where it is not', async () => {
    const world = await createWorld(
      `version: 1\npolicy: p\nprincipals: { bot: { spiffe: "${planner}" } }\nrules:\n  - { id: pay, effect: permit, principals: [bot], methods: [POST], paths: [/pay], require: { approval: { from: change-board } } }\n`,
    );
    expect(world.loader.findings().map(({ code }) => code)).to.deep.equal(['memory_replay']);
    world.close();
  });
});
