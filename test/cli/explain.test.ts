import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { run } from '../../src/cli/run.js';
import { createWorld, type World } from '../support/world.js';

const policy = `version: 1
policy: p
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
  other: { jwt: { issuer: corp, subject: other } }
rules:
  - id: tenant
    effect: permit
    principals: [agent]
    methods: [GET]
    paths: ["/t/{tenant}"]
    when: token.claims.tenant == path.tenant && request.headers["x-api-key"] != "x"
  - { id: others, effect: permit, principals: [other], paths: ["/t/{tenant}"] }
  - { id: no-admin, effect: deny, paths: ["/t/admin"] }
`;

describe('explain', () => {
  let world: World;
  let token: string;
  before(async () => {
    world = await createWorld(policy);
    token = await world.corp.sign({ sub: 'agent-7', tenant: 'acme' });
  });
  after(() => world.close());

  const explain = async (request: object | string, ...more: string[]) => {
    world.write('request.json', typeof request === 'string' ? request : JSON.stringify(request));
    let out = '';
    let err = '';
    const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
    const file = join(world.folder, 'request.json');
    const code = await run(
      ['explain', '-c', join(world.folder, 'countersign.yaml'), file, ...more],
      io,
    );
    return { code, out, err };
  };
  /** As Envoy logs it: camelCase, the joined headers. */
  const camel = (path: string) => ({
    attributes: {
      source: { address: { socketAddress: { address: '10.1.2.3', portValue: 5 } } },
      request: {
        time: '2026-11-23T10:00:00Z',
        http: {
          id: '1',
          method: 'GET',
          path,
          host: 'api.example',
          scheme: 'https',
          headers: { ':path': path, authorization: `Bearer ${token}`, 'x-api-key': 'hunter2' },
        },
      },
      metadataContext: {},
    },
  });

  it('shows who was denied, by what, and the values that were compared', async () => {
    const { code, out } = await explain(camel('/t/evil'));
    expect(code).to.equal(0);
    expect(out).to.match(/^deny 403 condition_false by rule tenant: the condition is false/);
    expect(out).to.include('corp:agent-7 (jwt of corp, verified; proof: none)');
    expect(out).to.match(/✗ tenant \(permit, .*p\.yaml:7\) fails at when: the condition is false/);
    expect(out).to.include('token.claims.tenant = "acme"').and.include('path.tenant = "evil"');
    expect(out).to.match(
      /✗ others .* fails at principals: corp:agent-7 is none of the rule's principals/,
    );
  });

  it('shows nothing secret', async () => {
    const { out } = await explain(camel('/t/evil'), '--json');
    expect(out).to.not.include(token).and.not.include('hunter2');
    expect(out).to.include('(not shown)');
    expect(JSON.parse(out)).to.deep.include({
      effect: 'deny',
      code: 'condition_false',
      rule: 'tenant',
    });
  });

  it('reads the names of the protos and the raw header encoding alike', async () => {
    const raw = (text: string) => Buffer.from(text).toString('base64');
    const headers = [{ key: 'authorization', raw_value: raw(`Bearer ${token}`) }];
    const http = { method: 'GET', path: '/t/acme', host: 'api.example', header_map: { headers } };
    const { out } = await explain({
      attributes: {
        source: { address: { socket_address: { address: '10.1.2.3', port_value: 5 } } },
        request: { http },
      },
    });
    // The rule compares a header that is absent, which is an error and no match.
    expect(out).to.match(
      /^deny 403 condition_false by rule tenant: the condition cannot be decided/,
    );
    expect(out).to.include('request.headers["x-api-key"] = (not shown)');
  });

  it('shows a permit, and a deny rule that beats it', async () => {
    expect((await explain(camel('/t/acme'))).out).to.match(/^permit 200 permitted by rule tenant/);
    expect((await explain(camel('/t/admin'))).out).to.match(
      /^deny 403 denied_by_rule by rule no-admin/,
    );
  });

  it('decides as of another time', async () => {
    const { out } = await explain(camel('/t/acme'), '--now', '2030-01-01T00:00:00Z');
    expect(out).to.match(/^deny 401 token_expired/);
  });

  it('says what it cannot read', async () => {
    expect(await explain('{')).to.deep.include({ code: 2 });
    expect((await explain({ x: 1 })).err).to.match(/has "attributes"/);
    expect((await explain(camel('/'), '--now', 'soon')).err).to.match(/--now is a time/);
  });
});

describe('explain reads a Check as people paste it', () => {
  let world: World;
  let token: string;
  before(async () => {
    world = await createWorld(`version: 1
policy: p
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*", claims: { kind: [human, agent], team: { name: crm } } } }
  acting: { jwt: { subject: robot, actor: { claims: { role: lead } } } }
  workload: { spiffe: "spiffe://prod.example/ns/*/sa/*", via: mtls }
rules:
  - { id: body, effect: permit, principals: [agent], methods: [POST], paths: ["/x"], when: request.body.n == 1 && posture.owner == "crm" }
  - { id: acting, effect: permit, principals: [acting, workload, authenticated], methods: [DELETE], paths: ["/x"], when: "false" }
  - { id: named, effect: permit, principals: [acting, workload], methods: [PUT], paths: ["/x"] }
  - { id: wire, effect: permit, principals: [workload], tcp: { ports: [5432], sni: [db.example] } }
`);
    const listed = `"corp:agent-7": { status: active, owner: hr }`;
    world.write(
      'data/posture.yaml',
      `version: 1\nupdatedAt: ${new Date().toISOString()}\nidentities: { ${listed} }\n`,
    );
    token = await world.corp.sign({ sub: 'agent-7', kind: 'agent', team: { name: 'crm' } });
  });
  after(() => world.close());

  const explain = async (value: unknown) => {
    world.write('request.json', JSON.stringify(value));
    let out = '';
    const io = { out: (text: string) => (out += text), err: (text: string) => (out += text) };
    const paths = [join(world.folder, 'countersign.yaml'), join(world.folder, 'request.json')];
    await run(['explain', '-c', ...paths, '--json'], io);
    return JSON.parse(out);
  };
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const body = '{"n":1}';
  /** One request, by the names of the protos and by those of protobuf's JSON. */
  const snake = () => ({
    source: {
      address: { socket_address: { protocol: 'TCP', address: '10.1.2.3', port_value: '5' } },
    },
    request: {
      time: { seconds: '1795468828', nanos: 368314000 },
      http: {
        id: '126',
        method: 'POST',
        path: '/x?page=1&key=hunter2',
        host: 'api.example',
        size: '7',
        raw_body: base64(body),
        header_map: {
          headers: [
            { key: 'authorization', raw_value: base64(`Bearer ${token}`) },
            { key: 'content-type', raw_value: base64('application/json') },
            { key: 'x-envoy-auth-partial-body', raw_value: base64('false') },
          ],
        },
      },
    },
    metadata_context: {},
  });
  const camel = () => ({
    source: { address: { socketAddress: { address: '10.1.2.3', portValue: 5 } } },
    request: {
      time: '2026-11-23T22:00:28.368314Z',
      http: {
        id: '126',
        method: 'POST',
        path: '/x?page=1&key=hunter2',
        host: 'api.example',
        size: 7,
        rawBody: base64(body),
        headers: {
          ':path': '/x?page=1&key=hunter2',
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'x-envoy-auth-partial-body': 'false',
        },
      },
    },
    routeMetadataContext: null,
  });

  it('in snake_case and camelCase, with `attributes`, without, and as the input of OPA', async () => {
    const forms = [
      { attributes: snake() },
      { attributes: camel() },
      snake(),
      camel(),
      { input: { attributes: camel(), parsed_path: ['x'], version: { ext_authz: 'v3' } } },
    ];
    const all = [];
    for (const form of forms) all.push(await explain(form));
    for (const one of all) expect(one).to.deep.equal(all[0]);
    expect(all[0]).to.deep.include({ effect: 'deny', code: 'condition_false', rule: 'body' });
    expect(all[0].request).to.deep.equal({
      method: 'POST',
      host: 'api.example',
      path: '/x',
      segments: ['x'],
      query: ['page', 'key'],
      source: '10.1.2.3',
      body: '7 bytes',
    });
  });

  it('and shows what the condition read of the posture, and never the body', async () => {
    const { rules } = await explain(camel());
    expect(rules[0].values).to.deep.equal([
      { name: 'request.body.n', value: '(not shown)' },
      { name: 'posture.owner', value: '"hr"' },
    ]);
  });

  it('and what the caller lacks of each principal', async () => {
    const request = camel();
    request.request.http.method = 'PUT';
    const { rules } = await explain(request);
    expect(rules[0].failed.key).to.equal('principals');
    expect(rules[0].values).to.deep.equal([
      { name: 'acting: jwt.subject', value: '"agent-7", wanted ["robot"]' },
      {
        name: 'workload: spiffe via mtls',
        value: 'nothing, wanted ["spiffe://prod.example/ns/*/sa/*"]',
      },
    ]);
  });

  for (const { claims, key, value } of [
    {
      claims: { kind: 'robot' },
      key: 'jwt.claims.kind',
      value: '"robot", wanted ["human","agent"]',
    },
    { claims: { kind: 'agent' }, key: 'jwt.claims.team', value: 'nothing, wanted {"name":"crm"}' },
    {
      claims: { kind: 'agent', team: { name: 'hr' } },
      key: 'jwt.claims.team',
      value: 'an object, wanted {"name":"crm"}',
    },
    { claims: { sub: 'x' }, key: 'jwt.subject', value: '"x", wanted ["agent-*"]' },
  ]) {
    it(`and which claim is another: ${key}: ${value}`, async () => {
      const bearer = await world.corp.sign({ sub: 'agent-7', ...claims });
      const request = camel();
      request.request.http.headers.authorization = `Bearer ${bearer}`;
      const { rules } = await explain(request);
      expect(rules[0].values).to.deep.equal([{ name: `agent: ${key}`, value }]);
    });
  }

  it('and a connection', async () => {
    const explained = await explain({
      attributes: {
        source: {
          address: { socketAddress: { address: '10.1.2.3', portValue: 5 } },
          principal: 'spiffe://prod.example/ns/a/sa/b',
        },
        destination: { address: { socketAddress: { address: '10.0.0.1', portValue: 5432 } } },
        tlsSession: { sni: 'db.example' },
      },
    });
    expect(explained).to.deep.include({ effect: 'permit', rule: 'wire' });
    expect(explained.request).to.deep.equal({
      connection: true,
      port: 5432,
      sni: 'db.example',
      source: '10.1.2.3',
    });
  });
});
