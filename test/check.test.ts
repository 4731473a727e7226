import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import { encodeCheckRequest } from '../src/wire/external-auth.js';
import { checkRequest, connectionCheck, type Given } from './support/check-request.js';
import { createWorld, said, type World } from './support/world.js';

const policy = `version: 1
policy: p
principals:
  workload: { spiffe: "spiffe://prod.example/ns/*/sa/*" }
  bot: { spiffe: "spiffe://prod.example/ns/payments/sa/bot" }
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
rules:
  - { id: read, effect: permit, principals: [workload], methods: [GET], paths: ["/orders/{id}"] }
  - { id: no-secret, effect: deny, paths: ["/orders/secret"] }
  - { id: pay, effect: permit, principals: [bot], methods: [POST], paths: ["/payments/{id}"], require: { approval: { from: change-board } } }
  - { id: tenant, effect: permit, principals: [agent], methods: [GET], paths: ["/t/{tenant}"], when: token.claims.tenant == path.tenant }
  - { id: deny-error, effect: deny, methods: [GET], paths: ["/errs"], when: token.claims.nothing == "x" }
  - { id: permit-errs, effect: permit, principals: [anyone], paths: ["/errs"] }
  - { id: body, effect: permit, principals: [anyone], methods: [POST], paths: [/body], when: request.body.amount < 10 }
  - { id: tools, effect: permit, principals: [anyone], paths: [/mcp], mcp: { methods: [tools/call], tools: [get_*], onlyArguments: [tenant] } }
  - { id: call, effect: permit, principals: [anyone], grpc: [pkg.Orders/Get] }
  - { id: db, effect: permit, principals: [workload], tcp: { ports: [5432], sni: [db.example] } }
  - { id: socket, effect: permit, principals: [anyone], paths: [/live], upgrade: [websocket] }
  - { id: office, effect: permit, principals: [anyone], paths: [/office], source: [203.0.113.0/24] }
  - { id: would, effect: deny, mode: shadow, paths: ["/orders/{id}"] }
`;
const one = 'spiffe://prod.example/ns/a/sa/one';
const bot = 'spiffe://prod.example/ns/payments/sa/bot';
const json = { 'content-type': 'application/json', 'x-envoy-auth-partial-body': 'false' };
const call = (name: string, args: object, id: unknown = 7) =>
  JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } });

const rows: readonly { name: string; given: Given; want: string }[] = [
  {
    name: 'permits by a rule that matches completely',
    given: { path: '/orders/7', principal: one },
    want: 'permit read',
  },
  {
    name: 'denies by default',
    given: { path: '/other', principal: one },
    want: 'deny 403 no_rule',
  },
  {
    name: 'lets a deny rule beat a permit',
    given: { path: '/orders/secret', principal: one },
    want: 'deny 403 denied_by_rule no-secret',
  },
  {
    name: 'asks for a credential when nobody is there (row 39)',
    given: { path: '/orders/7' },
    want: 'deny 401 credential_missing read',
  },
  {
    name: 'refuses another trust domain',
    given: { path: '/orders/7', principal: 'spiffe://evil/ns/a/sa/b' },
    want: 'deny 401 trust_domain_refused',
  },
  {
    name: 'refuses what begins like a SPIFFE id and is none',
    given: { path: '/orders/7', principal: 'spiffe://prod.example/' },
    want: 'deny 401 peer_invalid',
  },
  {
    name: 'takes a DNS name for no identity',
    given: { path: '/orders/7', principal: 'host.example' },
    want: 'deny 401 credential_missing read',
  },
  {
    name: 'counts a deny rule whose condition errors as a match',
    given: { path: '/errs' },
    want: 'deny 403 denied_by_rule deny-error',
  },
  {
    name: 'asks for an approval',
    given: { method: 'POST', path: '/payments/1', principal: bot },
    want: 'deny 403 approval_missing pay',
  },
  {
    name: 'reads a body',
    given: { method: 'POST', path: '/body', headers: json, rawBody: '{"amount":5}' },
    want: 'permit body',
  },
  {
    name: 'denies by what a body says',
    given: { method: 'POST', path: '/body', headers: json, rawBody: '{"amount":50}' },
    want: 'deny 403 condition_false body',
  },
  {
    name: 'refuses a body that was cut (row 104)',
    given: {
      method: 'POST',
      path: '/body',
      headers: { ...json, 'x-envoy-auth-partial-body': 'true' },
      rawBody: '{"amount":5}',
    },
    want: 'deny 400 body_unreadable',
  },
  {
    name: 'refuses a body that is not there (row 103)',
    given: { method: 'POST', path: '/body', headers: { 'content-type': 'application/json' } },
    want: 'deny 400 body_unreadable',
  },
  {
    name: 'refuses a compressed body (row 108)',
    given: {
      method: 'POST',
      path: '/body',
      headers: { ...json, 'content-encoding': 'gzip' },
      rawBody: '{}',
    },
    want: 'deny 400 body_unreadable',
  },
  {
    name: 'refuses a body with a key twice (row 109)',
    given: {
      method: 'POST',
      path: '/body',
      headers: json,
      rawBody: '{"amount":50,"\\u0061mount":5}',
    },
    want: 'deny 400 body_unreadable',
  },
  {
    name: 'permits an MCP tool with its arguments',
    given: {
      method: 'POST',
      path: '/mcp',
      headers: json,
      rawBody: call('get_customer', { tenant: 'a' }),
    },
    want: 'permit tools',
  },
  {
    name: 'denies another MCP tool',
    given: {
      method: 'POST',
      path: '/mcp',
      headers: json,
      rawBody: call('delete', { tenant: 'a' }),
    },
    want: 'deny 403 no_rule',
  },
  {
    name: 'denies an argument that is not listed',
    given: {
      method: 'POST',
      path: '/mcp',
      headers: json,
      rawBody: call('get_customer', { tenant: 'a', all: true }),
    },
    want: 'deny 403 no_rule',
  },
  {
    name: 'refuses an MCP batch (E4)',
    given: {
      method: 'POST',
      path: '/mcp',
      headers: json,
      rawBody: `[${call('get_customer', {})}]`,
    },
    want: 'deny 400 mcp_malformed',
  },
  {
    name: 'denies GET on an MCP path without a rule for it (E14)',
    given: { path: '/mcp' },
    want: 'deny 403 no_rule',
  },
  {
    name: 'permits a gRPC call',
    given: {
      method: 'POST',
      path: '/pkg.Orders/Get',
      headers: { 'content-type': 'application/grpc' },
    },
    want: 'permit call',
  },
  {
    name: 'denies the call over plain HTTP',
    given: { method: 'POST', path: '/pkg.Orders/Get' },
    want: 'deny 403 no_rule',
  },
  {
    name: 'denies another gRPC method',
    given: {
      method: 'POST',
      path: '/pkg.Orders/Delete',
      headers: { 'content-type': 'application/grpc' },
    },
    want: 'deny 403 no_rule',
  },
  {
    name: 'permits an upgrade that a rule names',
    given: { path: '/live', headers: { upgrade: 'websocket' } },
    want: 'permit socket',
  },
  {
    name: 'denies a plain request by a rule for upgrades',
    given: { path: '/live' },
    want: 'deny 403 no_rule',
  },
  {
    name: 'denies an upgrade that no rule names (row 91)',
    given: { path: '/orders/7', principal: one, headers: { upgrade: 'websocket' } },
    want: 'deny 403 no_rule',
  },
  {
    name: 'permits from an address range',
    given: { path: '/office', sourceIp: '203.0.113.9' },
    want: 'permit office',
  },
  {
    name: 'does not believe x-forwarded-for',
    given: { path: '/office', headers: { 'x-forwarded-for': '203.0.113.9' } },
    want: 'deny 403 source_not_allowed office',
  },
  {
    name: 'refuses an ambiguous path',
    given: { path: '/orders/7/../secret', principal: one },
    want: 'deny 400 path_ambiguous',
  },
  {
    name: 'refuses a method override',
    given: { path: '/orders/7', principal: one, headers: { 'x-http-method-override': 'DELETE' } },
    want: 'deny 400 header_ambiguous',
  },
  {
    name: 'refuses two tokens (row 58)',
    given: { path: '/orders/7', headers: { authorization: 'Bearer a,Bearer b' } },
    want: 'deny 401 credential_ambiguous',
  },
  {
    name: 'takes another scheme for no token (C4)',
    given: { path: '/orders/7', headers: { authorization: 'Basic eA==' } },
    want: 'deny 401 credential_missing read',
  },
  {
    name: 'refuses what is no token',
    given: { path: '/orders/7', principal: one, headers: { authorization: 'Bearer x' } },
    want: 'deny 401 credential_malformed',
  },
];

describe('one Check, bytes to bytes', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  it('loads its policy', () => {
    expect(world.loader.findings().filter(({ severity }) => severity === 'error')).to.deep.equal(
      [],
    );
  });

  for (const { name, given, want } of rows) {
    it(name, async () => {
      const outcome = await world.ask(given);
      expect(said(outcome)).to.equal(want);
    });
  }

  it('decides connections by rules for connections alone (row 144)', async () => {
    const good = { principal: one, destinationPort: 5432, sni: 'db.example' };
    expect(said(await world.ask(connectionCheck(good)))).to.equal('permit db');
    expect(said(await world.ask(connectionCheck({ ...good, sni: 'x' })))).to.equal(
      'deny 403 no_rule',
    );
    expect(said(await world.ask(connectionCheck({ ...good, principal: '' })))).to.equal(
      'deny 401 credential_missing db',
    );
  });

  it('refuses a Check about nothing', async () => {
    expect(said(await world.askBytes(new Uint8Array(0)))).to.equal('deny 400 request_malformed');
    expect(said(await world.askBytes(Uint8Array.of(1, 2, 3)))).to.equal(
      'deny 400 request_malformed',
    );
  });

  it('tells the upstream who, and takes away what the client claimed (D26)', async () => {
    const { headers, removed } = await world.ask({
      path: '/orders/7',
      principal: one,
      headers: { 'x-countersign-principal': 'admin', 'x-countersign-role': 'admin' },
    });
    expect(headers).to.include({ 'x-countersign-principal': one, 'x-countersign-rule': 'read' });
    expect(removed).to.include.members(['x-countersign-role', 'x-countersign-approval']);
    expect(removed.filter((name) => Object.hasOwn(headers, name))).to.deep.equal([]);
  });

  it('answers a deny as a problem without rule text, with one decision id everywhere', async () => {
    const { body, headers, record, rpcStatus } = await world.ask({
      path: '/orders/secret',
      principal: one,
    });
    const id = record.decisionId;
    expect(rpcStatus).to.equal(7);
    expect(JSON.parse(body)).to.deep.equal({
      type: 'urn:countersign:code:denied_by_rule',
      title: 'A rule denies this request',
      status: 403,
      code: 'denied_by_rule',
      decision: id,
    });
    expect(headers).to.include({
      'x-countersign-decision': id,
      'content-type': 'application/problem+json',
    });
  });

  it('challenges a caller without a credential', async () => {
    const { headers } = await world.ask({ path: '/orders/7' });
    expect(headers['www-authenticate']).to.equal('Bearer realm="countersign"');
  });

  it('answers MCP with a JSON-RPC error that has the id of the request', async () => {
    const { body, headers } = await world.ask({
      method: 'POST',
      path: '/mcp',
      headers: json,
      rawBody: call('delete', {}, 'abc'),
    });
    const { id, error } = JSON.parse(body);
    expect([id, error.code, error.data.code]).to.deep.equal(['abc', 403, 'no_rule']);
    expect(headers['content-type']).to.equal('application/json');
  });

  it('sends a gRPC caller 403 where another gets 400', async () => {
    const { httpStatus, rpcStatus } = await world.ask({
      method: 'POST',
      path: '/pkg.Orders/Get',
      headers: { 'content-type': 'application/grpc', authorization: 'Bearer a,Bearer b' },
    });
    expect([httpStatus, rpcStatus]).to.deep.equal([401, 16]);
  });

  it('names the rules in shadow mode that matched, and lets them decide nothing', async () => {
    const { effect, record } = await world.ask({ path: '/orders/7', principal: one });
    expect(effect).to.equal('permit');
    expect(record.decision.shadow).to.deep.equal([{ rule: 'would', effect: 'deny' }]);
  });

  it('gives one permit to twenty requests with one approval, and again to the same bytes', async () => {
    const approval = await world.board.sign(
      {
        sub: bot,
        approver: 'maria',
        grant: { methods: ['POST'], paths: ['/payments/{id}'] },
      },
      { typ: 'nhi-approval+jwt', kid: 'board-1' },
    );
    const given = (id: number): Given => ({
      id: String(id),
      method: 'POST',
      path: '/payments/1',
      principal: bot,
      headers: { 'x-countersign-approval': approval },
    });
    const said20 = await Promise.all(
      Array.from({ length: 20 }, async (_, at) => said(await world.ask(given(at)))),
    );
    expect(said20.filter((text) => text === 'permit pay')).to.have.length(1);
    expect(said20.filter((text) => text === 'deny 403 approval_used pay')).to.have.length(19);
    const winner = said20.indexOf('permit pay');
    expect(said(await world.ask(given(winner)))).to.equal('permit pay');
    expect(said(await world.ask({ ...given(winner), path: '/payments/2' }))).to.equal(
      'deny 403 approval_used pay',
    );
  });

  it('gives the same answer for both header encodings (row 95)', async () => {
    const names = fc.constantFrom('authorization', 'upgrade', 'x-a', 'content-type', 'host', 'X-B');
    const values = fc.constantFrom(
      'Bearer x',
      'Basic y',
      'websocket',
      'application/grpc',
      'a,b',
      'é',
    );
    const request = fc.record({
      method: fc.constantFrom('GET', 'POST', 'get', 'CONNECT'),
      path: fc.constantFrom('/orders/7', '/orders/secret', '/a//b', '/errs', '/live', '/%2e'),
      host: fc.constantFrom('api.example', 'API.example.', 'a,b', 'u@x'),
      principal: fc.constantFrom('', one, 'spiffe://x'),
      fields: fc.uniqueArray(fc.tuple(names, values), {
        maxLength: 3,
        selector: ([name]) => name.toLowerCase(),
      }),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ fields, ...given }) => {
        const joined = await world.ask({ ...given, headers: Object.fromEntries(fields) });
        const raw = await world.ask({ ...given, lines: fields });
        expect(said(raw)).to.equal(said(joined));
      }),
      { seed: 11, numRuns: 400 },
    );
  });

  it('writes no credential into any output', async () => {
    const token = await world.corp.sign({ sub: 'agent-7', tenant: 'acme' });
    const secrets = [token, token.split('.')[2] ?? '', 'hunter2', 'cookie-value'];
    const { body, headers, record } = await world.ask({
      path: '/t/evil',
      headers: { authorization: `Bearer ${token}`, cookie: 'cookie-value', 'x-api-key': 'hunter2' },
    });
    const { decisionRecord } = await import('../src/observe/decision-record.js');
    const logged = JSON.stringify([
      decisionRecord(record, 'basic', new Set()),
      decisionRecord(record, 'full', new Set(['authorization', 'cookie'])),
    ]);
    const out = `${body} ${JSON.stringify(headers)} ${logged} ${record.decision.effect === 'deny' && record.decision.detail}`;
    expect(secrets.filter((secret) => out.includes(secret))).to.deep.equal([]);
    expect(record.decision.code).to.equal('condition_false');
  });

  it('denies everything before the first good load', async () => {
    const broken = await createWorld('version: 1\npolicy: p\nrules: [ { id: x } ]\n');
    expect(said(await broken.ask({ path: '/' }))).to.equal('deny 503 policy_unavailable');
    broken.close();
  });

  it('denies whatever bytes are no good CheckRequest, explicitly', async () => {
    const good = encodeCheckRequest(checkRequest({ path: '/orders/7' }));
    const near = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
      const bytes = Uint8Array.from(good);
      bytes[at] = byte;
      return bytes;
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), near), async (bytes) => {
        const outcome = await world.askBytes(bytes);
        expect(outcome.effect).to.equal('deny');
        expect(outcome.httpStatus).to.be.within(400, 599);
      }),
      { seed: 23, numRuns: 1500 },
    );
  });

  it('denies garbage after a permit and goes on (row 23)', async () => {
    const good = encodeCheckRequest(checkRequest({ path: '/orders/7', principal: one }));
    expect(said(await world.askBytes(good))).to.equal('permit read');
    expect(said(await world.askBytes(good.subarray(0, 40)))).to.equal('deny 400 request_malformed');
    expect(said(await world.askBytes(good))).to.equal('permit read');
  });
});
