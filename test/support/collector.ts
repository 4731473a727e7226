import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { key: string; value: { stringValue: string } }[];
  readonly status: { code?: number };
}

/** A collector as far as a sender sees one: OTLP/HTTP with JSON, and answers that can be chosen. */
export class Collector {
  readonly spans: OtlpSpan[] = [];
  readonly bodies: string[] = [];
  requests = 0;
  answer: () => { status: number; body?: string } | 'silence' = () => ({ status: 200 });
  readonly #server: Server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += String(chunk);
    });
    request.on('end', () => {
      this.requests += 1;
      const answer = this.answer();
      if (answer === 'silence') return;
      const isOtlp =
        request.url === '/v1/traces' && request.headers['content-type'] === 'application/json';
      if (answer.status === 200 && isOtlp) this.#take(body);
      response.writeHead(isOtlp ? answer.status : 404, { 'content-type': 'application/json' });
      response.end(answer.body ?? '{}');
    });
  });

  #take(body: string): void {
    this.bodies.push(body);
    for (const { scopeSpans } of JSON.parse(body).resourceSpans) {
      for (const { spans } of scopeSpans) this.spans.push(...spans);
    }
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
