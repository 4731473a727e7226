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
