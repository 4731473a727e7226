import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import { policySchema } from '../../src/policy/policy-schema.js';
import { compileRoute } from '../../src/policy/route.js';
import type { HttpRequest, McpMessage } from '../../src/request/request.js';
import { httpRequest } from './requests.js';

/** A rule as a policy author writes it, without what the index finds it by. */
function route(effect: 'permit' | 'deny', yaml: string) {
  const rules = [{ id: 'r', effect, ...parse(yaml) }];
  const [entry] = policySchema.parse({ version: 1, policy: 'p', rules }).rules;
  if (entry === undefined) throw new Error('there is no rule');
  return compileRoute(entry, undefined);
}

function call(more: Partial<McpMessage & { kind: 'message' }>): McpMessage {
  return {
    kind: 'message',
    id: 1,
    method: 'tools/call',
    tool: undefined,
    resource: undefined,
    prompt: undefined,
    arguments: undefined,
    hasAllArguments: true,
    params: undefined,
    ...more,
  };
}

interface Row {
  readonly name: string;
  readonly effect?: 'permit' | 'deny';
  readonly rule: string;
  readonly request?: Partial<HttpRequest>;
  readonly mcp?: McpMessage;
  readonly want: boolean;
}

const websocket = { upgrade: ['websocket'] };
const grpc = (service: string, method: string) => ({ method: 'POST', grpc: { service, method } });
const only = '{ mcp: { tools: ["get_*"], onlyArguments: [tenant, id] } }';

const rows: readonly Row[] = [
  { name: 'a method', rule: '{ methods: [GET, HEAD] }', want: true },
  { name: 'another method', rule: '{ methods: [POST] }', want: false },
  {
    name: 'a method in another case',
    rule: '{ methods: [GET] }',
    request: { method: 'get' },
    want: false,
  },

  { name: 'a plain permit and an upgrade', rule: '{}', request: websocket, want: false },
  {
    name: 'a plain deny and an upgrade',
    effect: 'deny',
    rule: '{}',
    request: websocket,
    want: true,
  },
  {
    name: 'a permit that names the upgrade',
    rule: '{ upgrade: [WebSocket] }',
    request: websocket,
    want: true,
  },
  {
    name: 'a permit that names it, a plain request',
    rule: '{ upgrade: [websocket] }',
    want: false,
  },
  {
    name: 'a deny that names it, a plain request',
    effect: 'deny',
    rule: '{ upgrade: [websocket] }',
    want: false,
  },
  {
    name: 'a permit for one of two protocols asked for',
    rule: '{ upgrade: [websocket] }',
    request: { upgrade: ['websocket', 'h2c'] },
    want: false,
  },
  {
    name: 'a deny of one of two protocols asked for',
    effect: 'deny',
    rule: '{ upgrade: [websocket] }',
    request: { upgrade: ['websocket', 'h2c'] },
    want: true,
  },

  { name: 'a gRPC call', rule: '{ grpc: a.B/C }', request: grpc('a.B', 'C'), want: true },
  { name: 'another method', rule: '{ grpc: a.B/C }', request: grpc('a.B', 'D'), want: false },
  { name: 'any of a service', rule: '{ grpc: ["a.B/*"] }', request: grpc('a.B', 'D'), want: true },
  { name: 'another service', rule: '{ grpc: ["a.B/*"] }', request: grpc('a.BC', 'D'), want: false },
  { name: 'a request that is no gRPC call', rule: '{ grpc: a.B/C }', want: false },

  { name: 'any MCP message', rule: '{ mcp: {} }', mcp: call({ method: 'ping' }), want: true },
  { name: 'no message (E14)', rule: '{ mcp: {} }', mcp: { kind: 'none' }, want: false },
  { name: 'what is not read as MCP', rule: '{ mcp: {} }', want: false },
  {
    name: 'listing is not calling (E8)',
    rule: '{ mcp: { methods: [tools/list] } }',
    mcp: call({ tool: 'x' }),
    want: false,
  },
  {
    name: 'a method in another case (E7)',
    rule: '{ mcp: { methods: [tools/call] } }',
    mcp: call({ method: 'tools/Call' }),
    want: false,
  },
  {
    name: 'a pattern of tools',
    rule: '{ mcp: { tools: ["get_*"] } }',
    mcp: call({ tool: 'get_customer' }),
    want: true,
  },
  {
    name: 'another tool',
    rule: '{ mcp: { tools: ["get_*"] } }',
    mcp: call({ tool: 'forget_customer' }),
    want: false,
  },
  {
    name: 'a tool rule and a message without a tool',
    rule: '{ mcp: { tools: ["*"] } }',
    mcp: call({ method: 'tools/list' }),
    want: false,
  },
  {
    name: 'a resource (E11)',
    rule: '{ mcp: { resources: ["crm://customers/*"] } }',
    mcp: call({ method: 'resources/read', resource: 'file:///etc/passwd' }),
    want: false,
  },
  {
    name: 'a prompt',
    rule: '{ mcp: { prompts: [summary] } }',
    mcp: call({ method: 'prompts/get', prompt: 'summary' }),
    want: true,
  },
  {
    name: 'fewer arguments than allowed',
    rule: only,
    mcp: call({ tool: 'get_x', arguments: { id: 1 } }),
    want: true,
  },
  { name: 'no arguments', rule: only, mcp: call({ tool: 'get_x', arguments: {} }), want: true },
  {
    name: 'one argument more',
    rule: only,
    mcp: call({ tool: 'get_x', arguments: { id: 1, sudo: true } }),
    want: false,
  },
  { name: 'arguments that are not known', rule: only, mcp: call({ tool: 'get_x' }), want: false },
  {
    name: 'arguments that are not all known, in a permit',
    rule: only,
    mcp: call({ tool: 'get_x', arguments: { id: 1 }, hasAllArguments: false }),
    want: false,
  },
  {
    name: 'arguments that are not all known, in a deny',
    effect: 'deny',
    rule: only,
    mcp: call({ tool: 'get_x', arguments: { id: 1, more: 2 }, hasAllArguments: false }),
    want: true,
  },
  {
    name: 'a rule without mcp, an MCP message: its own keys decide',
    rule: '{ methods: [POST] }',
    request: { method: 'POST' },
    mcp: call({ tool: 'x' }),
    want: true,
  },
];

describe('what a rule is for', () => {
  for (const { name, effect = 'permit', rule, request, mcp, want } of rows) {
    it(`${effect} ${rule}: ${name}: ${want ? 'matches' : 'does not'}`, () => {
      const given = httpRequest('a.test', '/x', request);
      expect(route(effect, rule).matches(given, mcp)).to.equal(want);
    });
  }
});
