import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Given } from '../support/check-request.js';
import { createWorld, said, type World } from '../support/world.js';

const policy = `version: 1
policy: tools
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
rules:
  - { id: discover, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [initialize, "notifications/*", ping, "*/list", server/discover] } }
  - { id: read, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [get_customer], onlyArguments: [tenant, customer] }, when: mcp.arguments.tenant == token.claims.tenant }
  - { id: search, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [search] }, when: mcp.arguments.tenant == token.claims.tenant }
  - { id: quiet, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [remove] }, when: '!has(mcp.arguments.force)' }
  - { id: no-bulk, effect: deny, paths: [/mcp], mcp: { tools: ["search"] }, when: has(mcp.arguments.bulk) && mcp.arguments.bulk }
  - { id: files, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [resources/read], resources: ["https://docs.example/*"] } }
  - { id: answer, effect: permit, principals: [agent], paths: [/elicit], mcp: { methods: [response] } }
  - { id: stream, effect: permit, principals: [agent], methods: [GET, DELETE], paths: [/mcp2] }
  - { id: only, effect: permit, principals: [agent], paths: [/mcp2], mcp: { methods: [tools/list] } }
`;

const envelope = (method: string, params: object = {}, more: object = {}) =>
  JSON.stringify({ jsonrpc: '2.0', id: 7, method, params, ...more });
const json = { 'content-type': 'application/json' };
const post = (rawBody: string, more: Given = {}): Given => ({
  method: 'POST',
  path: '/mcp',
  rawBody,
  ...more,
  headers: { ...json, 'x-envoy-auth-partial-body': 'false', ...more.headers },
});
const call = (name: string, args: object, more: Given = {}) =>
  post(envelope('tools/call', { name, arguments: args }), more);
/** A route on which Envoy sends no body, behind its MCP filter (ENVOY-MEASURED.md 4). */
const filtered = (name: string, args: object, more: object = {}): Given => ({
  method: 'POST',
  path: '/mcp',
  headers: { ...json, 'content-length': '120' },
  metadata: {
    'envoy.filters.http.mcp': {
      is_mcp_request: true,
      status: 'mcp_ok',
      jsonrpc: '2.0',
      id: 7,
      method: 'tools/call',
      params: { name, arguments: args },
      ...more,
    } as never,
  },
});
const acme = { tenant: 'acme', customer: 'c-1' };
const latest = (method: string, name?: string): Given => ({
  headers: {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    ...(name === undefined ? {} : { 'mcp-name': name }),
  },
});

const rows: readonly { name: string; given: Given; want: string }[] = [
  {
    name: 'a tool and arguments of its own',
    given: call('get_customer', acme),
    want: 'permit read',
  },
  {
    name: 'E1 a header that names another tool',
    given: call('remove', {}, latest('tools/call', 'get_customer')),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'E2 the headers of an older version',
    given: call('remove', { force: true }, { headers: { 'mcp-method': 'tools/list' } }),
    want: 'deny 403 condition_false quiet',
  },
  {
    name: 'E4 a batch',
    given: post(`[${envelope('tools/list')},${envelope('tools/call', { name: 'remove' })}]`),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'E5 a key given twice',
    given: post('{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}'),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'E5 a key given twice, once in another case',
    given: post('{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}'),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'E7 a method in another case',
    given: post(envelope('tools/Call', { name: 'get_customer', arguments: acme })),
    want: 'deny 403 no_rule',
  },
  {
    name: 'E7 a method with a blank',
    given: post(envelope('tools/call ', { name: 'get_customer', arguments: acme })),
    want: 'deny 403 no_rule',
  },
  { name: 'E8 a listing', given: post(envelope('tools/list')), want: 'permit discover' },
  {
    name: 'E8 a call of what was listed',
    given: call('drop_database', {}),
    want: 'deny 403 no_rule',
  },
  {
    name: 'E11 a resource of the rule',
    given: post(envelope('resources/read', { uri: 'https://docs.example/a' })),
    want: 'permit files',
  },
  {
    name: 'E11 a file',
    given: post(envelope('resources/read', { uri: 'file:///etc/passwd' })),
    want: 'deny 403 no_rule',
  },
  ...[
    '../private',
    '%2e%2e/private',
    '.%2E/private',
    '..%2fprivate',
    '%252e%252e/private',
    'a\\..\\b',
    './a',
    '..',
  ].map((end) => ({
    name: `E11 a resource that steps out of its folder: ${end}`,
    given: post(envelope('resources/read', { uri: `https://docs.example/${end}` })),
    want: 'deny 400 mcp_malformed',
  })),
  {
    name: 'E11 dots that are no segment, and those of a query',
    given: post(envelope('resources/read', { uri: 'https://docs.example/a..b/.c?x=../y' })),
    want: 'permit files',
  },
  {
    name: 'E11 the address of the machine’s own metadata',
    given: post(envelope('resources/read', { uri: 'http://169.254.169.254/' })),
    want: 'deny 403 no_rule',
  },
  {
    name: 'E14 GET where only messages have a rule',
    given: { path: '/mcp', headers: { accept: 'text/event-stream' } },
    want: 'deny 403 no_rule',
  },
  {
    name: 'E14 DELETE where only messages have a rule',
    given: { method: 'DELETE', path: '/mcp' },
    want: 'deny 403 no_rule',
  },
  {
    name: 'a GET with a rule of its own carries no message, whatever its body says',
    given: post(envelope('tools/call', { name: 'x' }), { method: 'GET', path: '/mcp2' }),
    want: 'permit stream',
  },
  {
    name: 'an argument that the rule does not list',
    given: call('get_customer', { ...acme, limit: 1 }),
    want: 'deny 403 no_rule',
  },
  {
    name: 'an argument that is the listed one in another case',
    given: call('get_customer', { ...acme, Tenant: 'evil' }),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'arguments by a name in another case',
    given: post(envelope('tools/call', { name: 'remove', Arguments: { force: true } })),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'arguments that are named like members of every object',
    given: post(
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_customer","arguments":{"__proto__":{"tenant":"acme"}}}}',
    ),
    want: 'deny 403 no_rule',
  },
  {
    name: 'a response where the rule has it',
    given: post('{"jsonrpc":"2.0","id":1,"result":{}}', { path: '/elicit' }),
    want: 'permit answer',
  },
  {
    name: 'a response where no rule has it',
    given: post('{"jsonrpc":"2.0","id":1,"result":{}}'),
    want: 'deny 403 no_rule',
  },
  {
    name: 'a value that the filter wrote',
    given: filtered('search', { tenant: 'acme' }),
    want: 'deny 403 denied_by_rule no-bulk',
  },
  {
    name: 'onlyArguments is not known of what the filter wrote, which leaves lists out',
    given: filtered('get_customer', acme),
    want: 'deny 403 no_rule',
  },
  {
    name: 'nor is the absence of an argument',
    given: filtered('remove', {}),
    want: 'deny 403 condition_false quiet',
  },
  {
    name: 'what the filter is not sure of',
    given: filtered('search', { tenant: 'acme' }, { passthrough_reason: 'mcp_duplicate_keys' }),
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'a response that is a call as well',
    given: filtered('search', { tenant: 'acme' }, { method: '__jsonrpc_response' }),
    want: 'deny 400 mcp_malformed',
  },
];

describe('attacks on MCP rules (IDENTITY rows E)', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  for (const { name, given, want } of rows) {
    it(`${name}: ${want}`, async () => {
      const token = await world.corp.sign({ sub: 'agent-7', tenant: 'acme' });
      const headers = { ...given.headers, authorization: `Bearer ${token}` };
      expect(said(await world.ask({ ...given, headers }))).to.equal(want);
    });
  }

  it("reads one argument of what Envoy's filter wrote, where a rule asks for its value alone", async () => {
    const own = await createWorld(policy.replace(/ {2}- \{ id: no-bulk.*\n/, ''));
    const token = await own.corp.sign({ sub: 'agent-7', tenant: 'acme' });
    const ask = async (args: object) => {
      const given = filtered('search', args);
      const headers = { ...given.headers, authorization: `Bearer ${token}` };
      return said(await own.ask({ ...given, headers }));
    };
    expect(await ask({ tenant: 'acme' })).to.equal('permit search');
    expect(await ask({ tenant: 'evil' })).to.equal('deny 403 condition_false search');
    expect(await ask({})).to.equal('deny 403 condition_false search');
    own.close();
  });
});
