import type { Connection, HttpRequest } from '../../src/request/request.js';

const attributes = {
  peer: { principal: '', certificatePem: undefined },
  client: { ip: '192.0.2.1', port: 40000 },
  envoy: { contextExtensions: new Map(), metadata: new Map(), routeMetadata: new Map() },
};

/** A GET as the request room hands it over; the path's segments need no decoding. */
export function httpRequest(host: string, path: string, more: Partial<HttpRequest> = {}) {
  const [name = '', port] = host.split(':');
  const request: HttpRequest = {
    ...attributes,
    kind: 'http',
    id: '1',
    destination: { principal: '', ip: undefined, port: 443 },
    sni: '',
    method: 'GET',
    scheme: 'https',
    protocol: 'HTTP/2',
    host: { name, port: port === undefined ? undefined : Number(port) },
    path: { raw: path, segments: path.slice(1).split('/') },
    rawQuery: '',
    headers: new Map(),
    startedAtMs: undefined,
    body: { state: 'absent' },
    upgrade: [],
    grpc: undefined,
    ...more,
  };
  return request;
}

export function connection(sni: string, port: number | undefined): Connection {
  return { ...attributes, kind: 'tcp', sni, destination: { principal: '', ip: undefined, port } };
}
