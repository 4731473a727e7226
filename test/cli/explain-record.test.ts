import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createCases } from '../../examples/quickstart/cases.js';
import { connectDirectly } from '../../examples/quickstart/direct.js';
import { type Sidecar, startSidecar } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';
import { run } from '../../src/cli/run.js';
import { decisionRecord } from '../../src/observe/decision-record.js';
import type { CheckRequest } from '../../src/wire/external-auth.js';
import { connectionCheck, type Given } from '../support/check-request.js';
import { createWorld, type World } from '../support/world.js';

async function explain(...args: string[]) {
  let out = '';
  let err = '';
  const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
  const code = await run(['explain', ...args], io);
  return { code, out, err };
}

const policy = `version: 1
policy: p
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
  bot: { spiffe: "spiffe://prod.example/ns/a/sa/bot" }
rules:
  - id: tenant
    effect: permit
    principals: [agent]
    methods: [GET]
    paths: ["/t/{tenant}"]
    when: >-
      token.claims.tenant == path.tenant && request.query.page[0] == "1"
      && request.headers["x-kind"] == "a" && "read" in token.scopes
  - { id: pay, effect: permit, principals: [bot], methods: [POST], paths: ["/pay/{id}"], require: { approval: { from: change-board } } }
  - { id: tool, effect: permit, principals: [bot], paths: [/mcp], mcp: { tools: [get], onlyArguments: [tenant] }, when: mcp.arguments.tenant == "acme" }
  - { id: call, effect: permit, principals: [bot], grpc: shop.Orders/Get }
  - { id: socket, effect: permit, principals: [bot], paths: [/ws], upgrade: [websocket] }
  - { id: body, effect: permit, principals: [bot], methods: [POST], paths: [/body], when: request.body.n < 3 }
  - { id: elicit, effect: permit, principals: [bot], paths: [/elicit], mcp: { methods: [response] } }
  - { id: part, effect: permit, principals: [bot], paths: [/part], mcp: { tools: [get] }, when: mcp.arguments.tenant == "acme" }
  - { id: absent, effect: permit, principals: [bot], paths: [/part], mcp: { tools: [absent] }, when: '!has(mcp.arguments.force)' }
  - { id: envoy, effect: permit, principals: [bot], paths: [/envoy], when: 'envoy.contextExtensions.route == "a" && envoy.metadata["x.y"].level == 3.0 && source.port == 50000 && request.time < timestamp("2026-11-19T00:00:00Z")' }
  - { id: database, effect: permit, principals: [bot], tcp: { ports: [5432], sni: [db.example] } }
  - { id: no-admin, effect: deny, paths: ["/t/admin"] }
`;
const bot = 'spiffe://prod.example/ns/a/sa/bot';
const json = { 'content-type': 'application/json' };
const message = (tenant: string) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: 9,
    method: 'tools/call',
    params: { name: 'get', arguments: { tenant } },
  });

describe('explaining a full decision record', () => {
  let world: World;
  let file: string;
  let config: string;
  before(async () => {
    world = await createWorld(policy);
    file = join(world.folder, 'record.json');
    config = join(world.folder, 'countersign.yaml');
  });
  after(() => world.close());

  const bearer = async (claims: object) => ({
    authorization: `Bearer ${await world.corp.sign({ sub: 'agent-7', scope: 'read', ...claims })}`,
    'x-kind': 'a',
  });
  const approval = async (path: string) => ({
    'x-countersign-approval': await world.board.sign(
      {
        iss: 'https://approvals.example',
        sub: bot,
        approver: 'maria',
        grant: { methods: ['POST'], paths: [path] },
      },
      { typ: 'nhi-approval+jwt', kid: 'board-1' },
    ),
  });

  const rows: { name: string; given: () => Promise<Given | CheckRequest> }[] = [
    {
      name: 'a permit',
      given: async () => ({
        path: '/t/acme?page=1&secret=s3cr3t',
        headers: await bearer({ tenant: 'acme' }),
      }),
    },
    {
      name: 'a condition that is false',
      given: async () => ({ path: '/t/evil?page=1', headers: await bearer({ tenant: 'acme' }) }),
    },
    {
      name: 'another query',
      given: async () => ({ path: '/t/acme?page=2', headers: await bearer({ tenant: 'acme' }) }),
    },
    {
      name: 'another header',
      given: async () => ({
        path: '/t/acme?page=1',
        headers: { ...(await bearer({ tenant: 'acme' })), 'x-kind': 'b' },
      }),
    },
    { name: 'a deny rule', given: async () => ({ path: '/t/admin' }) },
    { name: 'nobody', given: async () => ({ path: '/t/acme' }) },
    { name: 'no rule', given: async () => ({ path: '/nowhere' }) },
    {
      name: 'an approval',
      given: async () => ({
        method: 'POST',
        path: '/pay/1',
        principal: bot,
        headers: await approval('/pay/{id}'),
      }),
    },
    {
      name: 'an approval of another path',
      given: async () => ({
        method: 'POST',
        path: '/pay/1',
        principal: bot,
        headers: await approval('/pay/2'),
      }),
    },
    {
      name: 'no approval',
      given: async () => ({ method: 'POST', path: '/pay/1', principal: bot }),
    },
    {
      name: 'an MCP call',
      given: async () => ({
        method: 'POST',
        path: '/mcp',
        principal: bot,
        headers: json,
        rawBody: message('acme'),
      }),
    },
    {
      name: 'an MCP call with another argument',
      given: async () => ({
        method: 'POST',
        path: '/mcp',
        principal: bot,
        headers: json,
        rawBody: message('evil'),
      }),
    },
    {
      name: 'a gRPC call',
      given: async () => ({
        method: 'POST',
        path: '/shop.Orders/Get',
        principal: bot,
        headers: { 'content-type': 'application/grpc' },
      }),
    },
    {
      name: 'an upgrade',
      given: async () => ({
        path: '/ws',
        principal: bot,
        headers: { connection: 'upgrade', upgrade: 'websocket' },
      }),
    },
  ];
  const filtered = (name: string) => ({
    method: 'POST',
    path: '/part',
    principal: bot,
    headers: { ...json, 'content-length': '99' },
    metadata: {
      'envoy.filters.http.mcp': {
        is_mcp_request: true,
        jsonrpc: '2.0',
        method: 'tools/call',
        params: { name, arguments: { tenant: 'acme' } },
      } as never,
    },
  });
  rows.push(
    {
      name: 'a response',
      given: async () => ({
        method: 'POST',
        path: '/elicit',
        principal: bot,
        headers: json,
        rawBody: '{"jsonrpc":"2.0","id":3,"result":{}}',
      }),
    },
    { name: "a value that Envoy's MCP filter wrote", given: async () => filtered('get') },
    { name: 'an absence that it cannot tell', given: async () => filtered('absent') },
    {
      name: 'what Envoy says of the route, the connection and the time',
      given: async () => ({
        path: '/envoy',
        principal: bot,
        contextExtensions: { route: 'a' },
        metadata: { 'x.y': { level: 3 } as never },
      }),
    },
    {
      name: 'another word of Envoy',
      given: async () => ({ path: '/envoy', principal: bot, contextExtensions: { route: 'b' } }),
    },
    {
      name: 'a connection',
      given: async () =>
        connectionCheck({ principal: bot, sni: 'db.example', destinationPort: 5432 }),
    },
  );
  for (const { name, given } of rows) {
    it(`decides it again as it was: ${name}`, async () => {
      const { record } = await world.ask(await given());
      const full = JSON.stringify(decisionRecord(record, 'full', new Set(['authorization'])));
      writeFileSync(file, full);
      const { code, out, err } = await explain('-c', config, file, '--json');
      expect(code, err).to.equal(0);
      const { effect, code: why, rule } = JSON.parse(out);
      const { decision } = record;
      expect([effect, why, rule]).to.deep.equal([
        decision.effect,
        decision.code,
        decision.rule?.id,
      ]);
      expect(full).to.not.include('s3cr3t');
    });
  }

  it('has a permit by every rule but those that are to deny, so that a part that is lost would show', async () => {
    const permits = new Set<string>();
    for (const { given } of rows) {
      const { effect, rule } = await world.ask(await given());
      if (effect === 'permit') permits.add(rule);
    }
    const all = world.loader.snapshot?.policy.rules.map(({ id }) => id) ?? [];
    const wanted = all.filter((id) => !['no-admin', 'absent', 'body'].includes(id));
    expect([...permits].sort()).to.deep.equal(wanted.sort());
  });

  it('says what a record cannot tell', async () => {
    const body = await world.ask({
      method: 'POST',
      path: '/body',
      principal: bot,
      headers: json,
      rawBody: '{"n":1}',
    });
    writeFileSync(file, JSON.stringify(decisionRecord(body.record, 'full', new Set())));
    expect((await explain('-c', config, file)).out).to.match(
      /^recorded {2}permit permitted body\n {10}body reads the body, which is never recorded\ndeny /,
    );
    const bad = await world.ask({ path: '/t/acme', headers: { authorization: 'Bearer a.b.c' } });
    writeFileSync(file, JSON.stringify(decisionRecord(bad.record, 'full', new Set())));
    expect((await explain('-c', config, file)).out).to.match(
      /^recorded {2}deny credential_malformed\n {10}the credentials were refused then/,
    );
  });

  it('shows another decision after the policy has changed', async () => {
    const { record } = await world.ask({
      path: '/t/admin',
      headers: await bearer({ tenant: 'admin' }),
    });
    writeFileSync(file, JSON.stringify(decisionRecord(record, 'full', new Set())));
    world.write('policies/p.yaml', policy.replace(/^.*no-admin.*\n/m, ''));
    const { out } = await explain('-c', config, file);
    world.write('policies/p.yaml', policy);
    expect(out).to.match(
      /^recorded {2}deny denied_by_rule no-admin\ndeny 403 condition_false by rule tenant/,
    );
  });

  it('needs the full detail', async () => {
    const { record } = await world.ask({ path: '/t/acme' });
    writeFileSync(file, JSON.stringify(decisionRecord(record, 'basic', new Set())));
    const { code, err } = await explain('-c', config, file);
    expect([code, err]).to.satisfy(
      ([exit, text]: [number, string]) => exit === 2 && /detail: full/.test(text),
    );
  });
});

describe('explaining a decision of a running sidecar', () => {
  let workplace: Workplace;
  let sidecar: Sidecar;
  let client: ReturnType<typeof connectDirectly>;
  const admin = () => `http://127.0.0.1:${workplace.ports.admin}`;
  before(async () => {
    workplace = await createWorkplace();
    const config = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', `${config}decisionLog: { recent: 3 }\n`);
    sidecar = await startSidecar(workplace.configFile, workplace.ports.admin);
    client = connectDirectly(workplace);
  });
  after(async () => {
    client.close();
    await sidecar.stop();
    workplace.remove();
  });

  it('finds it by its id, explains it, and forgets the oldest', async () => {
    const calls = (await createCases(workplace)).flatMap(({ steps }) =>
      steps.map(({ call }) => call),
    );
    const call = calls.find(({ path }) => path === '/tenants/evil/customers/c-17');
    expect(call).to.not.equal(undefined);
    const { headers } = await client.send(call ?? { method: 'GET', path: '/' });
    const id = String(headers['x-countersign-decision']);
    const { code, out } = await explain('-c', workplace.configFile, '--decision', id);
    expect(code).to.equal(0);
    expect(out).to.match(
      /^recorded {2}deny condition_false customer-context\ndeny 403 condition_false by rule customer-context/,
    );
    expect(out).to.include('token.claims.tenant = "acme"');
    for (let more = 0; more < 3; more += 1) await client.send({ method: 'GET', path: '/' });
    const gone = await explain('-c', workplace.configFile, '--decision', id, '--admin', admin());
    expect([gone.code, gone.err]).to.satisfy(
      ([exit, text]: [number, string]) => exit === 2 && text.includes('not among the last 3'),
    );
  });

  it('says how decisions are kept where none are', async () => {
    const config = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', config.replace('recent: 3', 'recent: 0'));
    await client.send({ method: 'GET', path: '/' });
    const answer = async () => (await fetch(`${admin()}/decisions/x`)).text();
    const { until } = await import('../../examples/quickstart/sidecar.js');
    await until(async () => (await answer()).includes('decisionLog: { recent: 1000 }'), 'not off');
  });
});
