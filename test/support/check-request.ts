import type { HeaderValue } from '../../src/wire/base.js';
import type { CheckRequest } from '../../src/wire/external-auth.js';

/** What a test says of a request; the rest is as Envoy sends it. */
export interface Given {
  readonly id?: string;
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  readonly protocol?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Header lines in the raw encoding, instead of `headers`. */
  readonly lines?: readonly (readonly [string, string])[];
  readonly body?: string;
  readonly rawBody?: string | Uint8Array;
  readonly size?: number;
  readonly principal?: string;
  readonly certificate?: string;
  readonly sourceIp?: string;
  readonly sni?: string;
  readonly destinationPort?: number;
  readonly contextExtensions?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, Readonly<Record<string, never>>>>;
}

const address = (ip: string, port: number) => ({
  kind: 'socket' as const,
  protocol: 0,
  address: ip,
  port,
  namedPort: undefined,
  resolverName: '',
  ipv4Compat: false,
  networkNamespaceFilepath: '',
});

function contextOf(given: Given) {
  return {
    source: {
      address: address(given.sourceIp ?? '10.1.2.3', 50_000),
      service: '',
      labels: new Map<string, string>(),
      principal: given.principal ?? '',
      certificate: given.certificate ?? '',
    },
    destination: {
      address: address('10.0.0.1', given.destinationPort ?? 443),
      service: '',
      labels: new Map<string, string>(),
      principal: '',
      certificate: '',
    },
    contextExtensions: new Map(Object.entries(given.contextExtensions ?? {})),
    metadataContext:
      given.metadata === undefined
        ? undefined
        : {
            filterMetadata: new Map(Object.entries(given.metadata)),
            typedFilterMetadata: new Map<string, never>(),
          },
    tlsSession: given.sni === undefined ? undefined : { sni: given.sni },
    routeMetadataContext: undefined,
  };
}

/** A CheckRequest for an HTTP request as Envoy's HTTP filter sends it. */
export function checkRequest(given: Given = {}): CheckRequest {
  const { rawBody = '' } = given;
  const bytes = typeof rawBody === 'string' ? Buffer.from(rawBody) : rawBody;
  const headerMap: HeaderValue[] | undefined = given.lines?.map(([key, value]) => ({
    key,
    value: '',
    rawValue: Buffer.from(value, 'utf8').toString('latin1'),
  }));
  return {
    attributes: {
      ...contextOf(given),
      request: {
        time: { seconds: 1_795_000_000, nanos: 0 },
        http: {
          id: given.id ?? '1',
          method: given.method ?? 'GET',
          headers: new Map(Object.entries(given.headers ?? {})),
          path: given.path ?? '/',
          host: given.host ?? 'api.example',
          scheme: given.scheme ?? 'https',
          query: '',
          fragment: '',
          size: given.size ?? bytes.length,
          protocol: given.protocol ?? 'HTTP/1.1',
          body: given.body ?? '',
          rawBody: bytes,
          headerMap,
        },
      },
    },
  };
}

/** A CheckRequest as Envoy's network filter sends it: a connection, no request. */
export function connectionCheck(given: Given = {}): CheckRequest {
  return { attributes: { ...contextOf(given), request: undefined } };
}
