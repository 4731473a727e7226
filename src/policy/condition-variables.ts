import { parseQuery } from '../request/query.js';
import type { HttpRequest } from '../request/request.js';
import type { Struct, StructValue } from '../wire/struct.js';
import { timestampFromMs } from './cel.js';
import type { ConditionInput } from './condition.js';

/** What is known at load of a variable: its type, its members, or nothing. */
export type Shape =
  | 'bool'
  | 'string'
  | 'number'
  | 'timestamp'
  | 'list'
  | 'map'
  | 'any'
  | { readonly members: Readonly<Record<string, Shape>> };

/** The variables of every condition (PRODUCT.md, CEL variables); captures, facts and data per set. */
export const variableShapes: Readonly<Record<string, Shape>> = {
  request: {
    members: {
      method: 'string',
      path: 'string',
      host: 'string',
      scheme: 'string',
      protocol: 'string',
      query: 'map',
      headers: 'map',
      time: 'timestamp',
      body: 'any',
    },
  },
  peer: { members: { spiffeId: 'string', trustDomain: 'string', segments: 'list' } },
  token: {
    members: {
      issuer: 'string',
      subject: 'string',
      claims: 'map',
      actor: 'map',
      scopes: 'list',
      issuedAt: 'timestamp',
      expiresAt: 'timestamp',
    },
  },
  principal: 'string',
  source: { members: { ip: 'string', port: 'number' } },
  destination: { members: { spiffeId: 'string', ip: 'string', port: 'number' } },
  mcp: {
    members: {
      method: 'string',
      tool: 'string',
      arguments: 'map',
      resource: 'string',
      prompt: 'string',
    },
  },
  grpc: { members: { service: 'string', method: 'string' } },
  approval: { members: { claims: 'map' } },
  posture: 'map',
  envoy: { members: { contextExtensions: 'map', metadata: 'map', routeMetadata: 'map' } },
  tls: { members: { sni: 'string' } },
};

type Bindings = Record<string, unknown>;
/** The value of one variable, or undefined where there is none: reading it is then an error. */
type Binder = (input: ConditionInput, members: ReadonlySet<string>) => unknown;

/** What each variable is bound to; only variables that the expression reads are built. */
export const binders: Readonly<Record<string, Binder>> = {
  request: (input, members) =>
    input.request.kind === 'http' ? bindRequest(input.request, input, members) : undefined,
  path: ({ captures }) => new Map(Object.entries(captures)),
  peer: ({ caller: { peer } }) =>
    peer && {
      spiffeId: peer.spiffeId.text,
      trustDomain: peer.spiffeId.trustDomain,
      segments: peer.spiffeId.segments,
    },
  token: ({ caller: { token } }, members) =>
    token &&
    present({
      issuer: token.issuer,
      subject: token.subject,
      claims: token.claims,
      actor: token.actor,
      scopes: token.scopes,
      issuedAt: members.has('issuedAt') ? timestamp(token.issuedAt) : undefined,
      expiresAt: members.has('expiresAt') ? timestamp(token.expiresAt) : undefined,
    }),
  principal: ({ principal }) => principal,
  source: ({ request: { client } }) => client && present({ ip: client.ip, port: client.port }),
  destination: ({ request: { destination } }) =>
    present({
      spiffeId: destination.principal === '' ? undefined : destination.principal,
      ip: destination.ip,
      port: destination.port,
    }),
  mcp: ({ mcp }) =>
    mcp?.kind === 'message'
      ? present({
          method: mcp.method,
          tool: mcp.tool,
          arguments: mcp.arguments,
          resource: mcp.resource,
          prompt: mcp.prompt,
        })
      : undefined,
  grpc: ({ request }) => (request.kind === 'http' ? request.grpc : undefined),
  approval: ({ approvalClaims }) => approvalClaims && { claims: approvalClaims },
  posture: ({ posture }) => posture,
  facts: ({ facts }) => facts,
  data: ({ data }) => data,
  envoy: ({ request: { envoy } }) => ({
    contextExtensions: envoy.contextExtensions,
    metadata: toMap(envoy.metadata),
    routeMetadata: toMap(envoy.routeMetadata),
  }),
  tls: ({ request }) => ({ sni: request.sni }),
};

function bindRequest(
  request: HttpRequest,
  input: ConditionInput,
  members: ReadonlySet<string>,
): Bindings {
  const bound: Bindings = {
    method: request.method,
    host: request.host.name,
    scheme: request.scheme,
    protocol: request.protocol,
  };
  // As rules match it: another spelling of a path is the same path.
  if (members.has('path') || members.has('*')) {
    bound['path'] = `/${request.path.segments.join('/')}`;
  }
  if (members.has('time')) bound['time'] = timestampFromMs(request.startedAtMs ?? input.nowMs);
  if (members.has('body') && input.body !== undefined) bound['body'] = input.body;
  if (members.has('headers')) bound['headers'] = joinHeaders(request);
  if (members.has('query')) {
    const query = parseQuery(request.rawQuery);
    if (query !== undefined) bound['query'] = query;
  }
  return bound;
}

/** Several lines of one header are seen joined with `,`, as Envoy's joined encoding has them. */
function joinHeaders({ headers }: HttpRequest): ReadonlyMap<string, string> {
  return new Map([...headers].map(([name, lines]) => [name, lines.join(',')]));
}

/** Structs have no prototype, which the library does not take: their objects become maps. */
function toMap(structs: ReadonlyMap<string, Struct>): ReadonlyMap<string, unknown> {
  return new Map([...structs].map(([name, struct]) => [name, mapOf(struct)]));
}

function mapOf(value: StructValue): unknown {
  if (Array.isArray(value)) return value.map(mapOf);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([key, item]) => [key, mapOf(item)]));
}

function timestamp(seconds: number | undefined) {
  return seconds === undefined ? undefined : timestampFromMs(seconds * 1000);
}

/** Leaves out what is undefined, so that `has()` is false and reading is an error. */
function present(members: Bindings): Bindings {
  for (const key of Object.keys(members)) {
    if (members[key] === undefined) delete members[key];
  }
  return members;
}
