import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { type RunningEnvoy, runEnvoy, withPorts } from '../../envoy/run-envoy.js';
import { type Sidecar, startSidecar } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';
import { type Edit, realEnvoy } from './stage.js';

/** Serves one HTTP request to `/mcp`; an SDK's server is behind it. */
export type McpApp = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** An MCP server behind Envoy, and the authorization server that its metadata name. */
export interface McpStage {
  readonly url: URL;
  readonly workplace: Workplace;
  readonly sidecar: Sidecar;
  readonly issuer: string;
  /** The `scope` of every request for a token, in order; '' where it named none. */
  readonly tokenRequests: string[];
  /** Decisions on messages so far: method, tool, `permit` or the code, rule. */
  decisions(): readonly string[];
  close(): Promise<void>;
}

/** Scopes that the authorization server grants when they are asked for. */
const grantable = ['crm.export'];

/** The policy of docs/mcp.md, as it stands there. */
export function documentedPolicy(): string {
  const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(readFileSync('docs/mcp.md', 'utf8')) ?? [];
  return text;
}

/** @param policies texts of policy files */
export async function createMcpStage(
  app: McpApp,
  policies: readonly string[],
  edit: Edit = () => {},
): Promise<McpStage> {
  const workplace = await createWorkplace();
  const { ports } = workplace;
  const origin = `http://127.0.0.1:${ports.ingress}`;
  const tokenRequests: string[] = [];
  const authorization = await listen(0, (request, response) =>
    authorize(request, response, issuer, workplace, tokenRequests),
  );
  const address = authorization.address();
  const issuer = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
  const config = readFileSync(workplace.configFile, 'utf8');
  workplace.write(
    'countersign.yaml',
    `${config}respond: { resourceMetadata: "${metadata}", removeCredentials: true }\n`,
  );
  rmSync(workplace.path('policies'), { recursive: true });
  mkdirSync(workplace.path('policies'));
  for (const [at, text] of policies.entries()) workplace.write(`policies/${at}.yaml`, text);
  const resource = { resource: `${origin}/mcp`, authorization_servers: [issuer] };
  const upstream = await listen(ports.app, async (request, response) => {
    if (request.url !== '/mcp') return sendJson(response, resource);
    await app(request, response);
  });
  const sidecar = await startSidecar(workplace.configFile, ports.admin);
  const envoyPorts = {
    ingress: ports.ingress,
    admin: ports.envoyAdmin,
    app: ports.app,
    countersign: ports.countersign,
  };
  const text = withPorts('mcp.yaml', envoyPorts, edit);
  const envoy: RunningEnvoy = await runEnvoy(
    await realEnvoy(),
    workplace.folder,
    text,
    ports.envoyAdmin,
  );
  return {
    url: new URL(`${origin}/mcp`),
    workplace,
    sidecar,
    issuer,
    tokenRequests,
    decisions: () => decisionsIn(sidecar.output().stdout),
    close: async () => {
      await envoy.stop();
      await sidecar.stop('SIGKILL');
      await Promise.all([stop(upstream), stop(authorization)]);
      workplace.remove();
    },
  };
}

function decisionsIn(log: string): readonly string[] {
  const lines = log.split('\n').filter((line) => line.endsWith('}'));
  return lines.flatMap((line) => {
    const { effect, code, rule, mcp } = JSON.parse(line);
    if (mcp === undefined) return [];
    const words = [mcp.method, mcp.tool, effect === 'permit' ? effect : code, rule];
    return [words.filter((word) => word !== undefined).join(' ')];
  });
}

/** RFC 8414 metadata, and tokens by client credentials (RFC 6749 §4.4) with the scopes asked for. */
async function authorize(
  request: IncomingMessage,
  response: ServerResponse,
  issuer: string,
  { corp }: Workplace,
  tokenRequests: string[],
): Promise<void> {
  if (request.method === 'GET') {
    return sendJson(response, {
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      response_types_supported: ['code'],
      grant_types_supported: ['client_credentials'],
      token_endpoint_auth_methods_supported: ['client_secret_basic'],
      code_challenge_methods_supported: ['S256'],
    });
  }
  const form = new URLSearchParams(await bodyOf(request));
  const asked = form.get('scope') ?? '';
  tokenRequests.push(asked);
  const scope = asked
    .split(' ')
    .filter((name) => grantable.includes(name))
    .join(' ');
  const claims = { sub: 'agent-7', tenant: 'acme', ...(scope === '' ? {} : { scope }) };
  const access_token = await corp.sign(claims);
  sendJson(response, { access_token, token_type: 'Bearer', expires_in: 600, scope });
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

function sendJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function listen(port: number, handle: McpApp): Promise<Server> {
  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error));
    });
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** A fetch-style handler as an app of node:http. */
export function fetchApp(handle: (request: Request) => Promise<Response>): McpApp {
  return async (request, response) => {
    const body = request.method === 'POST' ? await bodyOf(request) : null;
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) headers.set(name, String(value));
    const url = `http://${request.headers.host ?? 'app'}${request.url ?? '/'}`;
    const { method = 'GET' } = request;
    const answer = await handle(new Request(url, { method, headers, body }));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body === null) response.end();
    else Readable.fromWeb(answer.body as never).pipe(response);
  };
}
