import { createServer, type IncomingHttpHeaders } from 'node:http';

/** A request as it arrived behind Envoy: whatever is here was let through. */
export interface Arrival {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

export interface Upstream {
  readonly arrivals: Arrival[];
  stop(): Promise<void>;
}

/** A small application: it remembers what arrives and answers with what it saw. */
export async function startUpstream(port: number): Promise<Upstream> {
  const arrivals: Arrival[] = [];
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request;
    request.resume();
    request.once('end', () => {
      arrivals.push({ method, path: url, headers });
      const decision = headers['x-countersign-decision'];
      const principal = headers['x-countersign-principal'];
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({ hello: 'from the application', method, path: url, principal, decision }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    arrivals,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
