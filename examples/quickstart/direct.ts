import { readFileSync } from 'node:fs';
import { Client, credentials } from '@grpc/grpc-js';
import { checkPath } from '../../src/server/listener.js';
import type { HeaderValue } from '../../src/wire/base.js';
import { type CheckRequest, encodeCheckRequest } from '../../src/wire/external-auth.js';
import { decodeCheckResponse } from '../../src/wire/received-response.js';
import type { Answer, Call } from './client.js';
import type { Workplace } from './workplace.js';

/** The CheckRequest that Envoy would send for a call, with `encode_raw_headers`. */
export function checkRequestOf(workplace: Workplace, call: Call, id: string): CheckRequest {
  const { method, path, as, headers = {}, body = '' } = call;
  const certificate =
    as === undefined
      ? ''
      : encodeURIComponent(readFileSync(workplace.path(`certs/${as}.pem`), 'utf8'));
  const lines: HeaderValue[] = Object.entries({
    ':method': method,
    ':path': path,
    ':authority': '127.0.0.1',
    ':scheme': 'https',
    ...headers,
  }).map(([key, value]) => ({ key, value: '', rawValue: Buffer.from(value).toString('latin1') }));
  const spiffeIds: Readonly<Record<string, string>> = {
    agent: 'spiffe://prod.example/ns/agents/sa/planner',
    reports: 'spiffe://prod.example/ns/reports/sa/nightly',
    payments: 'spiffe://prod.example/ns/payments/sa/bot',
  };
  const socket = { protocol: 0, namedPort: undefined, resolverName: '', ipv4Compat: false };
  const address = { kind: 'socket', ...socket, address: '127.0.0.1', networkNamespaceFilepath: '' };
  const peer = { service: '', labels: new Map<string, string>() };
  const now = Date.now();
  return {
    attributes: {
      source: {
        ...peer,
        address: { ...address, kind: 'socket', port: 50_000 },
        principal: as === undefined ? '' : (spiffeIds[as] ?? ''),
        certificate,
      },
      destination: {
        ...peer,
        address: { ...address, kind: 'socket', port: workplace.ports.ingress },
        principal: 'spiffe://prod.example/ns/edge/sa/gateway',
        certificate: '',
      },
      request: {
        time: { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1e6 },
        http: {
          id,
          method,
          headers: new Map(),
          path,
          host: '127.0.0.1',
          scheme: 'https',
          query: '',
          fragment: '',
          size: body.length,
          protocol: 'HTTP/1.1',
          body: '',
          rawBody: Buffer.from(body),
          headerMap: lines,
        },
      },
      contextExtensions: new Map(),
      metadataContext: undefined,
      tlsSession: undefined,
      routeMetadataContext: undefined,
    },
  };
}

/** Numbers the requests of all clients: two that are alike are still two requests. */
let sent = 0;

/** Sends the cases' requests straight to Countersign, where no Envoy can be had. */
export function connectDirectly(workplace: Workplace) {
  const client = new Client(
    `127.0.0.1:${workplace.ports.countersign}`,
    credentials.createInsecure(),
  );
  return {
    check: (bytes: Uint8Array) =>
      new Promise<Uint8Array>((resolve, reject) => {
        client.makeUnaryRequest(
          checkPath,
          (value: Uint8Array) => Buffer.from(value),
          (value: Buffer): Uint8Array => value,
          bytes,
          (error, response) =>
            response === undefined ? reject(error ?? new Error('no answer')) : resolve(response),
        );
      }),
    async send(call: Call): Promise<Answer> {
      sent += 1;
      const bytes = encodeCheckRequest(checkRequestOf(workplace, call, String(sent)));
      const decoded = decodeCheckResponse(await this.check(bytes));
      if (!decoded.ok) throw new Error(decoded.reason);
      const { status, denied, ok } = decoded.value;
      const isPermit = status === 0 && ok !== undefined;
      const headers = Object.fromEntries(
        (denied?.headers ?? ok?.headers ?? []).map(({ key, value }) => [key, value]),
      );
      const body = denied?.body ?? JSON.stringify({ decision: headers['x-countersign-decision'] });
      return { status: isPermit ? 200 : (denied?.httpStatus ?? 403), headers, body };
    },
    close: () => client.close(),
  };
}
