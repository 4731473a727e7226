import { createServer, type ServerResponse } from 'node:http';

export interface Readiness {
  readonly isReady: boolean;
  readonly text: string;
}

export interface AdminHandlers {
  /** Whether decisions are made, and what there is to say about it. */
  readonly ready: () => Readiness | Promise<Readiness>;
  readonly metrics: () => Promise<{ contentType: string; text: string }>;
  /** The full record of a recent decision as JSON, or why there is none. */
  readonly decision: (id: string) => FoundDecision | Promise<FoundDecision>;
}

export type FoundDecision = { readonly json: string } | { readonly why: string };

export interface AdminServer {
  /** `host:port`, with the real port where 0 was asked for. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * HTTP for probes, scrapers and `explain`: /healthz (the process lives), /readyz, /metrics,
 * /decisions/ID. Reads only.
 */
export async function startAdminServer(
  host: string,
  port: number,
  handlers: AdminHandlers,
): Promise<AdminServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return send(response, 405, 'GET only\n');
    answer(path, response, handlers).catch(() => send(response, 500, 'not available\n'));
  });
  server.headersTimeout = 5_000;
  server.requestTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const bound = server.address();
  const real = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    address: host.includes(':') ? `[${host}]:${real}` : `${host}:${real}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  path: string,
  response: ServerResponse,
  handlers: AdminHandlers,
): Promise<void> {
  if (path === '/healthz') return send(response, 200, 'ok\n');
  if (path === '/readyz') {
    const { isReady, text } = await handlers.ready();
    return send(response, isReady ? 200 : 503, text);
  }
  if (path === '/metrics') {
    const { contentType, text } = await handlers.metrics();
    return send(response, 200, text, contentType);
  }
  const [, id] = /^\/decisions\/([A-Za-z0-9-]{1,64})$/.exec(path) ?? [];
  if (id !== undefined) {
    const found = await handlers.decision(id);
    if ('why' in found) return send(response, 404, `${found.why}\n`);
    return send(response, 200, found.json, 'application/json');
  }
  return send(response, 404, '/healthz, /readyz, /metrics or /decisions/ID\n');
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': contentType }).end(text);
}
