import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { config, createWorld, said, type World } from '../support/world.js';

const metadata = 'https://api.example/.well-known/oauth-protected-resource/mcp';
const policy = `version: 1
policy: scopes
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
  workload: { spiffe: "spiffe://prod.example/ns/a/sa/one" }
windows:
  never: { timezone: UTC, days: [mon], from: "00:00", to: "00:01" }
rules:
  - { id: read, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [read] }, when: '"crm.read" in token.scopes && mcp.arguments.tenant == token.claims.tenant && "crm" in token.scopes' }
  - { id: either, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [either] }, when: '"a" in token.scopes || "b" in token.scopes' }
  - { id: admin, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [two] }, when: token.claims.admin == true }
  - { id: scoped, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [two] }, when: '"two" in token.scopes' }
  - { id: late, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [late] }, during: [never], when: '"x" in token.scopes' }
  - { id: fresh, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [fresh] }, require: { posture: { status: [active] } }, when: '"x" in token.scopes' }
  - { id: approved, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [approved] }, require: { approval: { from: change-board } }, when: '"x" in token.scopes' }
  - { id: barred, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [barred] }, when: '"x" in token.scopes' }
  - { id: no-barred, effect: deny, paths: [/mcp], mcp: { tools: [barred] } }
  - { id: would, effect: permit, mode: shadow, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [would] }, when: '"x" in token.scopes' }
  - { id: peer, effect: permit, principals: [workload], paths: [/mcp], mcp: { methods: [tools/call], tools: [peer] }, when: '"x" in token.scopes' }
  - { id: plain, effect: permit, principals: [agent], methods: [GET], paths: [/plain], when: '"x" in token.scopes' }
`;

const challengeOf = (scope: string) =>
  `Bearer error="insufficient_scope", scope="${scope}", resource_metadata="${metadata}"`;

interface Row {
  readonly name: string;
  readonly tool: string;
  readonly scope?: string;
  readonly args?: object;
  readonly principal?: string;
  readonly isAnonymous?: boolean;
  readonly want: string;
  readonly challenge: string | undefined;
}

const acme = { tenant: 'acme' };
const rows: readonly Row[] = [
  {
    name: 'all scopes of the rule, when nothing else is missing',
    tool: 'read',
    args: acme,
    scope: 'crm',
    want: 'deny 403 condition_false read',
    challenge: challengeOf('crm.read crm'),
  },
  {
    name: 'nothing, when they are all there',
    tool: 'read',
    args: acme,
    scope: 'crm crm.read',
    want: 'permit read',
    challenge: undefined,
  },
  {
    name: 'nothing, when another part of the condition is false as well',
    tool: 'read',
    args: { tenant: 'evil' },
    scope: 'crm',
    want: 'deny 403 condition_false read',
    challenge: undefined,
  },
  {
    name: 'nothing, when another part cannot be told',
    tool: 'read',
    args: {},
    scope: 'crm',
    want: 'deny 403 condition_false read',
    challenge: undefined,
  },
  {
    name: 'nothing, when the other part alone is false',
    tool: 'read',
    args: { tenant: 'evil' },
    scope: 'crm crm.read',
    want: 'deny 403 condition_false read',
    challenge: undefined,
  },
  {
    name: 'nothing, where the rule asks in another form',
    tool: 'either',
    want: 'deny 403 condition_false either',
    challenge: undefined,
  },
  {
    name: 'the scopes of the first rule that they would open, whichever is the nearest',
    tool: 'two',
    want: 'deny 403 condition_false admin',
    challenge: challengeOf('two'),
  },
  {
    name: 'nothing, outside of a window',
    tool: 'late',
    want: 'deny 403 outside_window late',
    challenge: undefined,
  },
  {
    name: 'nothing, for a posture',
    tool: 'fresh',
    want: 'deny 403 posture_unknown fresh',
    challenge: undefined,
  },
  {
    name: 'nothing, without an approval',
    tool: 'approved',
    want: 'deny 403 approval_missing approved',
    challenge: undefined,
  },
  {
    name: 'nothing, by a deny rule',
    tool: 'barred',
    want: 'deny 403 denied_by_rule no-barred',
    challenge: undefined,
  },
  {
    name: 'nothing, for a rule in shadow mode',
    tool: 'would',
    want: 'deny 403 no_rule',
    challenge: undefined,
  },
  {
    name: 'nothing, where there is no token to have a scope',
    tool: 'peer',
    principal: 'spiffe://prod.example/ns/a/sa/one',
    isAnonymous: true,
    want: 'deny 403 condition_false peer',
    challenge: undefined,
  },
  {
    name: 'the scopes to begin with, where there is no identity at all',
    tool: 'read',
    args: acme,
    isAnonymous: true,
    want: 'deny 401 credential_missing read',
    challenge: `Bearer resource_metadata="${metadata}", scope="crm.read crm"`,
  },
];

describe('a denied MCP request is told of', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy, {
      'countersign.yaml': `${config}respond: { resourceMetadata: "${metadata}" }\n`,
    });
  });
  after(() => world.close());

  for (const { name, tool, scope, args = {}, principal = '', isAnonymous, ...row } of rows) {
    it(name, async () => {
      const claims = { sub: 'agent-7', tenant: 'acme', ...(scope === undefined ? {} : { scope }) };
      const bearer = { authorization: `Bearer ${await world.corp.sign(claims)}` };
      const outcome = await world.ask({
        method: 'POST',
        path: '/mcp',
        principal,
        headers: {
          'content-type': 'application/json',
          'x-envoy-auth-partial-body': 'false',
          ...(isAnonymous === true ? {} : bearer),
        },
        rawBody: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: tool, arguments: args },
        }),
      });
      expect(said(outcome)).to.equal(row.want);
      expect(outcome.headers['www-authenticate']).to.equal(row.challenge);
    });
  }

  it('nothing at all where the request is no MCP', async () => {
    const bearer = `Bearer ${await world.corp.sign({ sub: 'agent-7' })}`;
    const outcome = await world.ask({ path: '/plain', headers: { authorization: bearer } });
    expect(said(outcome)).to.equal('deny 403 condition_false plain');
    expect(outcome.headers['www-authenticate']).to.equal(undefined);
  });
});
