import {
  ClientCredentialsProvider,
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';
import { ClientCredentialsProvider as LegacyProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer as LegacyServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { z } from 'zod';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { until } from '../../examples/quickstart/sidecar.js';
import {
  createMcpStage,
  documentedPolicy,
  fetchApp,
  type McpApp,
  type McpStage,
} from './mcp-stage.js';

/** A client of one SDK, as far as the tests use it. */
interface Client {
  listTools(): Promise<{ tools: { name: string }[] }>;
  callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<unknown>;
  close(): Promise<void>;
}

const tools = {
  get_customer: { tenant: z.string(), customer: z.string() },
  export_customers: { tenant: z.string() },
  delete_customer: { customer: z.string() },
  root_shell: {},
};
const done = (name: string) => async () => ({
  content: [{ type: 'text' as const, text: `${name} done` }],
});

/** More than docs/mcp.md has: a scope that the authorization server never grants. */
const more = `version: 1
policy: more
principals: { agent: { jwt: { issuer: corp, subject: "agent-*" } } }
rules:
  - { id: root, effect: permit, principals: [agent], paths: [/mcp], mcp: { tools: [root_shell] }, when: '"root" in token.scopes' }
`;

/** The SDK of the revisions up to 2025-11-25: a server for each request, without sessions. */
const legacyApp: McpApp = async (request, response) => {
  const server = new LegacyServer({ name: 'crm', version: '1' });
  for (const [name, inputSchema] of Object.entries(tools)) {
    server.registerTool(name, { inputSchema }, done(name));
  }
  const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
  response.once('close', () => void server.close());
  await server.connect(transport as Parameters<typeof server.connect>[0]);
  await transport.handleRequest(request, response);
};

/** The SDK of 2026-07-28, which serves no other here. */
const modern = createMcpHandler(
  () => {
    const server = new McpServer({ name: 'crm', version: '2' });
    for (const [name, shape] of Object.entries(tools)) {
      server.registerTool(name, { inputSchema: z.object(shape) }, done(name));
    }
    return server;
  },
  { legacy: 'reject' },
);

const credentials = (stage: McpStage) => ({
  clientId: 'agent-7',
  clientSecret: 'not-a-secret',
  expectedIssuer: stage.issuer,
});

const sdks: readonly {
  readonly revision: string;
  readonly app: McpApp;
  readonly connect: (stage: McpStage) => Promise<Client>;
  /** Methods that a client of this revision sends before it calls. */
  readonly opening: readonly string[];
  /** What its client credentials make of a challenge for a scope. */
  readonly stepUp: {
    readonly name: string;
    readonly scope: string;
    readonly decision: string;
    readonly result: RegExp;
  };
}[] = [
  {
    revision: '2025-11-25',
    app: legacyApp,
    stepUp: {
      name: 'this client asks for a token without naming it, and gives up',
      scope: '',
      decision: 'condition_false',
      result: /^failed: .*upscoping/,
    },
    opening: ['initialize permit crm-session', 'notifications/initialized permit crm-session'],
    connect: async (stage) => {
      const client = new LegacyClient({ name: 'agent', version: '1' });
      const authProvider = new LegacyProvider(credentials(stage));
      const transport = new LegacyTransport(stage.url, { authProvider });
      await client.connect(transport as Parameters<typeof client.connect>[0]);
      return client as Client;
    },
  },
  {
    revision: '2026-07-28',
    app: fetchApp((request) => modern.fetch(request)),
    stepUp: {
      name: 'this client comes back with it',
      scope: 'crm.export',
      decision: 'permit',
      result: /export_customers done/,
    },
    opening: ['server/discover permit crm-session'],
    connect: async (stage) => {
      const options = { versionNegotiation: { mode: { pin: '2026-07-28' } } } as const;
      const client = new ModernClient({ name: 'agent', version: '2' }, options);
      const authProvider = new ClientCredentialsProvider(credentials(stage));
      await client.connect(new ModernTransport(stage.url, { authProvider }));
      return client as Client;
    },
  },
];

/** What a call came to: the text of its result, or the error's message. */
async function tried(call: Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await call);
  } catch (error) {
    return `failed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

for (const { revision, app, connect, opening, stepUp } of sdks) {
  (withoutEnvoy ? describe.skip : describe)(
    `MCP ${revision}: the official SDK through a real Envoy`,
    function () {
      this.timeout(60_000);
      let stage: McpStage;
      let client: Client;
      before(async () => {
        stage = await createMcpStage(app, [documentedPolicy(), more]);
        client = await connect(stage);
      });
      after(async () => {
        await client?.close();
        await stage?.close();
      });
      let decided = 0;
      let asked = 0;
      /** The next decisions on messages, as many as there should be, and the requests for tokens. */
      const news = async (count: number) => {
        await until(
          async () => stage.decisions().length >= decided + count,
          'the decisions are not logged',
        );
        const decisions = stage.decisions().slice(decided);
        const tokens = stage.tokenRequests.slice(asked);
        decided += decisions.length;
        asked += tokens.length;
        return { decisions, tokens };
      };

      it('a missing token starts the authorization that the metadata name, and the client comes back', async () => {
        const [first = '', ...rest] = opening;
        const denied = first.replace('permit', 'credential_missing');
        expect(await news(opening.length + 1)).to.deep.equal({
          decisions: [denied, first, ...rest],
          tokens: [''],
        });
      });

      it('a listing is permitted', async () => {
        const { tools: listed } = await client.listTools();
        expect(listed.map(({ name }) => name)).to.deep.equal(Object.keys(tools));
        expect(await news(1)).to.deep.equal({
          decisions: ['tools/list permit crm-session'],
          tokens: [],
        });
      });

      it('a call is permitted by its tool and arguments', async () => {
        const call = { name: 'get_customer', arguments: { tenant: 'acme', customer: 'c-1' } };
        expect(await tried(client.callTool(call))).to.include('get_customer done');
        expect(await news(1)).to.deep.equal({
          decisions: ['tools/call get_customer permit crm-read'],
          tokens: [],
        });
      });

      it('E13 another tool is denied, once: the client asks for no other token', async () => {
        const call = { name: 'delete_customer', arguments: { customer: 'c-1' } };
        expect(await tried(client.callTool(call))).to.match(/^failed: .*no_rule/);
        expect(await news(1)).to.deep.equal({
          decisions: ['tools/call delete_customer no_rule'],
          tokens: [],
        });
      });

      it('an argument of another tenant is denied, once', async () => {
        const call = { name: 'get_customer', arguments: { tenant: 'evil', customer: 'c-1' } };
        expect(await tried(client.callTool(call))).to.match(/^failed: .*condition_false/);
        expect(await news(1)).to.deep.equal({
          decisions: ['tools/call get_customer condition_false crm-read'],
          tokens: [],
        });
      });

      it('an argument that the rule does not list is denied, once', async () => {
        const args = { tenant: 'acme', customer: 'c-1', limit: 5 };
        const call = { name: 'get_customer', arguments: args };
        expect(await tried(client.callTool(call))).to.match(/^failed: .*no_rule/);
        expect((await news(1)).tokens).to.deep.equal([]);
      });

      it(`a scope that is all that is missing is asked for: ${stepUp.name}`, async () => {
        const call = { name: 'export_customers', arguments: { tenant: 'acme' } };
        expect(await tried(client.callTool(call))).to.match(stepUp.result);
        expect(await news(2)).to.deep.equal({
          decisions: [
            'tools/call export_customers condition_false crm-export',
            `tools/call export_customers ${stepUp.decision} crm-export`,
          ],
          tokens: [stepUp.scope],
        });
      });

      it('a scope that is not all that is missing is not asked for', async () => {
        const call = { name: 'export_customers', arguments: { tenant: 'evil' } };
        expect(await tried(client.callTool(call))).to.match(/^failed: .*condition_false/);
        expect((await news(1)).tokens).to.deep.equal([]);
      });

      it('a scope that is never granted is asked for once', async () => {
        const call = { name: 'root_shell', arguments: {} };
        expect(await tried(client.callTool(call))).to.match(/^failed: /);
        const { decisions, tokens } = await news(2);
        expect(decisions).to.deep.equal(
          Array.from({ length: 2 }, () => 'tools/call root_shell condition_false root'),
        );
        expect(tokens).to.have.length(1);
      });
    },
  );
}
