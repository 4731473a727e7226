import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { createMcpStage, documentedPolicy, type McpApp, type McpStage } from './mcp-stage.js';
import type { Edit } from './stage.js';

type Bootstrap = Parameters<NonNullable<Edit>>[0];

/** An HTTP filter of the configuration, to be changed in place. */
function filterOf(bootstrap: Bootstrap, name: string): Record<string, unknown> {
  const [listener] = bootstrap.static_resources.listeners as unknown as {
    filter_chains: {
      filters: {
        typed_config: {
          http_filters: { name: string; typed_config: Record<string, unknown> }[];
        };
      }[];
    }[];
  }[];
  const filters = listener?.filter_chains[0]?.filters[0]?.typed_config.http_filters ?? [];
  const found = filters.find((filter) => filter.name === `envoy.filters.http.${name}`);
  if (found === undefined) throw new Error(`there is no filter ${name}`);
  return found.typed_config;
}

const more = `version: 1
policy: more
principals: { agent: { jwt: { issuer: corp, subject: "agent-*" } } }
rules:
  - { id: value, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [value] }, when: mcp.arguments.tenant == token.claims.tenant }
  - { id: absence, effect: permit, principals: [agent], paths: [/mcp], mcp: { methods: [tools/call], tools: [absence] }, when: '!has(mcp.arguments.force)' }
`;

/** Remembers what it was sent, and opens a stream for GET. */
const arrived: string[] = [];
const app: McpApp = async (request, response) => {
  arrived.push(request.method ?? '');
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (request.method === 'GET') response.write(': open\n\n');
  else response.end('data: {}\n\n');
};

const call = (name: string, args: object) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: 7,
    method: 'tools/call',
    params: { name, arguments: args },
  });
const listing = JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/list' });
const own = { tenant: 'acme' };

interface Row {
  readonly name: string;
  readonly body: string;
  /** HTTP status and, of a deny, its code. */
  readonly want: string;
}

interface Scene {
  readonly name: string;
  readonly edit: NonNullable<Edit>;
  readonly rows: readonly Row[];
}

const scenes: readonly Scene[] = [
  {
    name: 'the MCP filter before it, which lets everything pass, and the body',
    edit: (bootstrap) => {
      filterOf(bootstrap, 'mcp')['traffic_mode'] = 'PASS_THROUGH';
      filterOf(bootstrap, 'mcp')['max_request_body_size'] = 1000;
      filterOf(bootstrap, 'ext_authz')['with_request_body'] = {
        max_request_bytes: 2000,
        allow_partial_message: false,
        pack_as_bytes: true,
      };
    },
    rows: [
      { name: 'a listing', body: listing, want: '200' },
      { name: 'a call of its own', body: call('value', own), want: '200' },
      {
        name: 'a key given twice',
        body: call('value', own).replace('"id":7', '"id":7,"id":8'),
        want: '400 mcp_malformed',
      },
      { name: 'a batch', body: `[${listing}]`, want: '400 mcp_malformed' },
      { name: 'no JSON', body: '{"jsonrpc":', want: '400 mcp_malformed' },
      { name: 'something behind the message', body: `${listing} {}`, want: '400 mcp_malformed' },
      {
        name: 'more than the filter reads',
        body: call('value', { ...own, pad: 'x'.repeat(1200) }),
        want: '400 mcp_malformed',
      },
      {
        name: 'more than ext_authz sends, which cuts what the filter has buffered',
        body: call('value', { ...own, pad: 'x'.repeat(9000) }),
        want: '400 mcp_malformed',
      },
    ],
  },
  {
    name: 'the MCP filter alone, and no body',
    edit: (bootstrap) => {
      delete filterOf(bootstrap, 'ext_authz')['with_request_body'];
      filterOf(bootstrap, 'mcp')['parser_config'] = {
        methods: [
          {
            method: 'tools/call',
            extraction_rules: [{ path: 'params.name' }, { path: 'params.arguments' }],
          },
        ],
      };
    },
    rows: [
      { name: 'a listing', body: listing, want: '200' },
      { name: 'the value of an argument', body: call('value', own), want: '200' },
      {
        name: 'another value',
        body: call('value', { tenant: 'evil' }),
        want: '403 condition_false',
      },
      {
        name: 'a value that the filter leaves out',
        body: call('value', { tenant: ['acme'] }),
        want: '403 condition_false',
      },
      {
        name: 'arguments that are all listed, which is not known',
        body: call('get_customer', { ...own, customer: 'c-1' }),
        want: '403 no_rule',
      },
      {
        name: 'the absence of an argument, which is not known',
        body: call('absence', { force: [true] }),
        want: '403 condition_false',
      },
      {
        name: 'a key given twice, which the filter refuses itself',
        body: call('value', own).replace('"id":7', '"id":7,"id":8'),
        want: '400 ',
      },
    ],
  },
];

for (const { name: scene, edit, rows } of scenes) {
  (withoutEnvoy ? describe.skip : describe)(`MCP through a real Envoy with ${scene}`, function () {
    this.timeout(60_000);
    let stage: McpStage;
    let authorization: string;
    before(async () => {
      stage = await createMcpStage(app, [documentedPolicy(), more], edit);
      const token = await stage.workplace.corp.sign({ sub: 'agent-7', tenant: 'acme' });
      authorization = `Bearer ${token}`;
    });
    after(() => stage?.close());

    for (const { name, body, want } of rows) {
      it(`${name}: ${want}`, async () => {
        arrived.length = 0;
        const accept = 'application/json, text/event-stream';
        const headers = { 'content-type': 'application/json', accept, authorization };
        const answer = await fetch(stage.url, { method: 'POST', headers, body });
        const code = /"code":"([a-z_]+)"/.exec(await answer.text())?.[1] ?? '';
        expect(answer.status === 200 ? '200' : `${answer.status} ${code}`).to.equal(want);
        expect(arrived).to.deep.equal(want === '200' ? ['POST'] : []);
      });
    }
  });
}

(withoutEnvoy ? describe.skip : describe)('E20 a stream through a real Envoy', function () {
  this.timeout(60_000);
  it('ends within the maximum of its route, whoever opened it and is suspended since', async () => {
    const stage = await createMcpStage(app, [documentedPolicy()], (bootstrap) => {
      const text = JSON.stringify(bootstrap).replace('"900s"', '"1s"');
      Object.assign(bootstrap, JSON.parse(text));
    });
    const token = await stage.workplace.corp.sign({ sub: 'agent-7', tenant: 'acme' });
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` };
    const answer = await fetch(stage.url, { headers });
    const end = answer.text().then(
      (text) => text,
      (error: unknown) => `cut: ${String(error)}`,
    );
    expect(answer.status).to.equal(200);
    expect(await end).to.match(/open|cut/);
    await stage.close();
  });
});
