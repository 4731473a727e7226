import { Refusal } from '../errors.js';
import type { AttributeContext, AttributeHttpRequest } from '../wire/attribute-context.js';
import type { CheckRequest } from '../wire/external-auth.js';
import { readBody } from './body.js';
import { clientAddress } from './client-address.js';
import { ambiguousHeader, readHeaders } from './headers.js';
import { readHost } from './host.js';
import { readPath } from './path.js';
import type { Attributes, GrpcCall, Headers, HttpRequest, Request } from './request.js';

export interface RequestOptions {
  /** Envoy's `max_request_bytes`: a body of that length or more may have been cut (ENVOY.md 0.10). */
  readonly maxBodyBytes: number;
  /** `trust.clientAddress.trustedHops`. */
  readonly trustedHops: number;
}

/**
 * Reads one CheckRequest as the one request it can mean, or refuses it. Sole judge of ambiguity:
 * every room behind this one may take what it gets at its word.
 */
export function readRequest(check: CheckRequest, options: RequestOptions): Request | Refusal {
  const context = check.attributes;
  if (context === undefined) return malformed('the Check has no attributes');
  const http = context.request?.http;
  if (http !== undefined) return readHttp(context, http, options);
  if (context.source === undefined && context.destination === undefined) {
    return malformed('the Check is about neither a request nor a connection');
  }
  return { kind: 'tcp', ...readAttributes(context, [], { ...options, trustedHops: 0 }) };
}

/** Whether a Check is about a gRPC call, as far as its answer must be one: also where it is refused. */
export function isGrpcCheck(check: CheckRequest): boolean {
  const http = check.attributes?.request?.http;
  const read = http === undefined ? undefined : readHeaders(http);
  if (read === undefined || read instanceof Refusal) return false;
  return http?.method === 'POST' && isGrpcType(read.headers.get('content-type')?.[0]);
}

function isGrpcType(type: string | undefined): boolean {
  return type !== undefined && /^application\/grpc(?:\+[a-z0-9.+-]+)?(?:;|$)/i.test(type.trim());
}

function malformed(detail: string): Refusal {
  return new Refusal('request_malformed', detail);
}

/** RFC 9110 §5.6.2 tokens in upper case: methods are case-sensitive and none is lower case. */
const methodToken = /^[A-Z][A-Z0-9!#$%&'*+.^_`|~-]{0,31}$/;

function readHttp(
  context: AttributeContext,
  http: AttributeHttpRequest,
  options: RequestOptions,
): HttpRequest | Refusal {
  if (!methodToken.test(http.method)) return malformed('the method is not an upper-case token');
  if (http.method === 'CONNECT') return malformed('CONNECT is not decided');
  const raw = readHeaders(http);
  if (raw instanceof Refusal) return raw;
  const { headers, pseudo, partial } = raw;
  const host = readHost(http.host);
  if (host instanceof Refusal) return host;
  const path = readPath(http.path);
  if (path instanceof Refusal) return path;
  const contradiction = pseudoFault(http, pseudo) ?? ambiguousHeader(http.method, headers);
  if (contradiction !== undefined) return contradiction;
  return {
    kind: 'http',
    ...readAttributes(context, headers.get('x-forwarded-for') ?? [], options),
    id: http.id,
    method: http.method,
    scheme: http.scheme.toLowerCase(),
    protocol: http.protocol,
    host,
    path: path.path,
    rawQuery: path.rawQuery,
    headers,
    startedAtMs: startedAt(context),
    body: readBody(http, headers, partial, options.maxBodyBytes),
    upgrade: readUpgrade(headers),
    grpc: readGrpc(http.method, headers, path.path.segments),
  };
}

/** Where Envoy sends the pseudo-headers as well, they must say the same as the fields. */
function pseudoFault(
  http: AttributeHttpRequest,
  pseudo: ReadonlyMap<string, string>,
): Refusal | undefined {
  const differs = (name: string, value: string) => (pseudo.get(name) ?? value) !== value;
  if (differs(':path', http.path)) {
    return new Refusal('path_ambiguous', 'the path and the header :path differ');
  }
  if (differs(':method', http.method)) {
    return new Refusal('header_ambiguous', 'the method and the header :method differ');
  }
  if (differs(':authority', http.host)) {
    return new Refusal('header_ambiguous', 'the host and the header :authority differ');
  }
  if (http.scheme !== '' && differs(':scheme', http.scheme)) {
    return new Refusal('header_ambiguous', 'the scheme and the header :scheme differ');
  }
  return undefined;
}

function readAttributes(
  context: AttributeContext,
  forwardedFor: readonly string[],
  options: RequestOptions,
): Attributes {
  const { source, destination, metadataContext, routeMetadataContext } = context;
  const socket = destination?.address?.kind === 'socket' ? destination.address : undefined;
  const certificate = source?.certificate ?? '';
  return {
    peer: {
      principal: source?.principal ?? '',
      certificatePem: certificate === '' ? undefined : certificate,
    },
    destination: {
      principal: destination?.principal ?? '',
      ip: socket?.address,
      port: socket?.port,
    },
    client: clientAddress(source?.address, forwardedFor, options.trustedHops),
    sni: context.tlsSession?.sni ?? '',
    envoy: {
      contextExtensions: context.contextExtensions,
      metadata: metadataContext?.filterMetadata ?? noMetadata,
      routeMetadata: routeMetadataContext?.filterMetadata ?? noMetadata,
    },
  };
}

const noMetadata = new Map<string, never>();

function startedAt(context: AttributeContext): number | undefined {
  const time = context.request?.time;
  if (time === undefined) return undefined;
  const ms = time.seconds * 1000 + Math.floor(time.nanos / 1e6);
  return Math.abs(ms) < 8.64e15 ? ms : undefined;
}

const noUpgrade: readonly string[] = [];

function readUpgrade(headers: Headers): readonly string[] {
  const lines = headers.get('upgrade');
  if (lines === undefined) return noUpgrade;
  return lines.flatMap((line) => line.split(',')).map((name) => name.trim().toLowerCase());
}

function readGrpc(
  method: string,
  headers: Headers,
  segments: readonly string[],
): GrpcCall | undefined {
  if (method !== 'POST' || !isGrpcType(headers.get('content-type')?.[0])) return undefined;
  const [service, call] = segments;
  if (segments.length !== 2 || !service || !call) return undefined;
  return { service, method: call };
}
