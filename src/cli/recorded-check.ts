import { z } from 'zod';
import type { Snapshot } from '../check.js';
import type { Approval } from '../evidence/evidence.js';
import type { Caller, PeerIdentity, TokenIdentity } from '../identity/caller.js';
import { parseSpiffeId } from '../identity/spiffe-id.js';
import { scopesOf } from '../identity/verify-token.js';
import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import { parseTemplate } from '../request/template.js';
import { checkRequestFromJson } from '../wire/check-request-json.js';
import { encodeCheckRequest } from '../wire/external-auth.js';
import { Misuse } from './command.js';
import type { Explanation } from './explain.js';

const mapping = z.record(z.string(), z.json());
const texts = z.record(z.string(), z.string());
const lists = z.record(z.string(), z.array(z.string()));

/** A record of the decision log with `detail: full`, as `src/observe/decision-record.ts` writes it. */
const recordSchema = z.object({
  decision: z.string(),
  time: z.string().optional(),
  effect: z.enum(['permit', 'deny']),
  code: z.string(),
  rule: z.string().optional(),
  revision: z.string().optional(),
  peer: z.string().optional(),
  token: z
    .object({ issuer: z.string(), subject: z.string(), jti: z.string().optional() })
    .optional(),
  request: z
    .object({
      id: z.string(),
      method: z.string(),
      host: z.string(),
      path: z.string(),
      protocol: z.string(),
    })
    .optional(),
  source: z.string().optional(),
  mcp: z.object({ method: z.string(), tool: z.string().optional() }).optional(),
  grpc: z.object({ service: z.string(), method: z.string() }).optional(),
  approval: z.object({ jti: z.string(), approver: z.string() }).optional(),
  input: z.object({
    at: z.number(),
    scheme: z.string().optional(),
    port: z.number().optional(),
    sourcePort: z.number().default(0),
    startedAt: z.number().optional(),
    envoy: z
      .object({
        contextExtensions: texts.optional(),
        metadata: mapping.optional(),
        routeMetadata: mapping.optional(),
      })
      .default({}),
    query: lists.default({}),
    headers: texts.default({}),
    upgrade: z.array(z.string()).default([]),
    sni: z.string().default(''),
    destination: z
      .object({ principal: z.string(), ip: z.string().optional(), port: z.number().optional() })
      .optional(),
    claims: mapping.optional(),
    credential: z
      .object({
        kind: z.enum(['jwt', 'jwt-svid']),
        proof: z.enum(['none', 'mtls-bound', 'dpop']),
        keyId: z.string().optional(),
        expiresAt: z.number(),
        header: z.string(),
      })
      .optional(),
    certificate: z.object({ sha256: z.string(), notBefore: z.number().optional() }).optional(),
    mcpArguments: mapping.optional(),
    mcp: z
      .object({
        resource: z.string().optional(),
        prompt: z.string().optional(),
        allArguments: z.boolean().default(true),
      })
      .optional(),
    approval: z
      .object({
        board: z.string(),
        subject: z.string(),
        methods: z.array(z.string()),
        paths: z.array(z.string()),
        claims: mapping,
        expiresAtMs: z.number(),
      })
      .optional(),
  }),
});

type DecisionRecord = z.output<typeof recordSchema>;

/** A decision of the past, and what it takes to decide the same request by another snapshot. */
export interface RecordedCheck {
  /** `deny condition_false customer-context (revision …)`. */
  readonly was: string;
  readonly bytes: Uint8Array;
  readonly nowMs: number;
  /** What a record cannot tell and the decision may hang on, one sentence each. */
  unknown(explanation: Explanation): readonly string[];
  /** The snapshot with the recorded caller and approval in the place of credentials. */
  snapshotOf(snapshot: Snapshot): Snapshot;
}

/** Whether a JSON value looks like a record of the decision log. */
export function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'decision' in value && 'effect' in value;
}

/** Reads a record; misuse when it has not what a decision needs. */
export function readRecord(value: unknown): RecordedCheck {
  if (typeof value === 'object' && value !== null && !('input' in value)) {
    throw new Misuse(
      'the record has no input: set decisionLog: { detail: full } to be able to explain decisions later',
    );
  }
  const parsed = recordSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Misuse(
      `this is no full decision record: ${issue?.path.join('.')}: ${issue?.message}`,
    );
  }
  const record = parsed.data;
  const caller = callerOf(record);
  const approval = approvalOf(record);
  return {
    was: [record.effect, record.code, record.rule].filter((word) => word !== undefined).join(' '),
    bytes: requestOf(record),
    nowMs: record.input.at,
    unknown: ({ rules }) => unknownOf(record, rules),
    snapshotOf: (snapshot) => ({
      ...snapshot,
      // The record has the client's own address in the place of the connection's peer.
      request: { ...snapshot.request, trustedHops: 0 },
      identifier: { identify: () => caller },
      approvals: { verify: () => approval },
    }),
  };
}

function unknownOf(record: DecisionRecord, rules: Explanation['rules']): readonly string[] {
  const lines: string[] = [];
  if (isRefusedBefore(record)) {
    lines.push('the credentials were refused then; a record does not hold them');
  }
  const { mcp, input } = record;
  for (const { rule, values } of rules) {
    const names = values.map(({ name }) => name);
    if (mcp === undefined && names.some((name) => name.startsWith('request.body'))) {
      lines.push(`${rule} reads the body, which is never recorded`);
    }
  }
  return input.approval === undefined &&
    record.code.startsWith('approval_') &&
    record.code !== 'approval_missing'
    ? [...lines, 'an approval that was refused then is not recorded']
    : lines;
}

/** Codes that a decision has before any rule is judged, and for which nothing of the caller is recorded. */
function isRefusedBefore({ effect, code, token, peer }: DecisionRecord): boolean {
  const isCredential = /^(?:credential_(?!missing)|token_|proof_|peer_|trust_domain)/.test(code);
  return effect === 'deny' && isCredential && token === undefined && peer === undefined;
}

function requestOf(record: DecisionRecord): Uint8Array {
  const { input, source, request } = record;
  const { destination, sni, startedAt } = input;
  const time = startedAt === undefined ? undefined : new Date(startedAt).toISOString();
  const read = checkRequestFromJson({
    attributes: {
      source: { address: address(source ?? '', input.sourcePort) },
      destination: {
        address: address(destination?.ip ?? '', destination?.port ?? 0),
        principal: destination?.principal ?? '',
      },
      tls_session: { sni },
      context_extensions: input.envoy.contextExtensions,
      metadata_context: { filter_metadata: { ...input.envoy.metadata, ...filteredOf(record) } },
      route_metadata_context: { filter_metadata: input.envoy.routeMetadata },
      request: request === undefined ? undefined : { time, http: httpOf(record, request) },
    },
  });
  if (!read.ok) throw new Misuse(read.reason);
  return encodeCheckRequest(read.value);
}

function address(ip: string, port: number): object {
  return { socket_address: { address: ip, port_value: port } };
}

function httpOf(record: DecisionRecord, request: NonNullable<DecisionRecord['request']>): object {
  const { input, grpc } = record;
  const parameters = Object.entries(input.query);
  const pairs = parameters.flatMap(([name, values]) =>
    values.map((value): [string, string] => [name, value]),
  );
  const query = new URLSearchParams(pairs).toString();
  const body = bodyOf(record);
  const type = grpc === undefined ? 'application/json' : 'application/grpc';
  const upgrade =
    input.upgrade.length === 0 ? {} : { connection: 'upgrade', upgrade: input.upgrade.join(', ') };
  return {
    id: request.id,
    method: request.method,
    host: input.port === undefined ? request.host : `${request.host}:${input.port}`,
    path: query === '' ? request.path : `${request.path}?${query}`,
    scheme: input.scheme ?? 'https',
    protocol: request.protocol,
    size: body.length,
    headers: {
      ...(body.length > 0 || grpc !== undefined ? { 'content-type': type } : {}),
      ...upgrade,
      ...input.headers,
      ...(isFiltered(record) ? {} : { 'x-envoy-auth-partial-body': 'false' }),
    },
    raw_body: body.toString('base64'),
  };
}

/** The MCP message that was judged, written again; other bodies are never recorded. */
function messageOf({ mcp, input }: DecisionRecord): JsonObject | undefined {
  if (mcp === undefined) return undefined;
  if (mcp.method === 'response') return { jsonrpc: '2.0', id: 1, result: {} };
  const params: Record<string, JsonValue> = {};
  const name = mcp.tool ?? input.mcp?.prompt;
  if (name !== undefined) params['name'] = name;
  if (input.mcp?.resource !== undefined) params['uri'] = input.mcp.resource;
  if (input.mcpArguments !== undefined) params['arguments'] = input.mcpArguments;
  return { jsonrpc: '2.0', id: 1, method: mcp.method, params };
}

/** Whether the message was known from Envoy's MCP filter alone. */
function isFiltered({ input }: DecisionRecord): boolean {
  return input.mcp?.allArguments === false;
}

function filteredOf(record: DecisionRecord): object {
  if (!isFiltered(record)) return {};
  return { 'envoy.filters.http.mcp': { ...messageOf(record), is_mcp_request: true } };
}

function bodyOf(record: DecisionRecord): Buffer {
  const message = isFiltered(record) ? undefined : messageOf(record);
  return message === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(message));
}

function callerOf(record: DecisionRecord): Caller {
  const { certificate } = record.input;
  const shown = certificate && { sha256: certificate.sha256, notBefore: certificate.notBefore };
  const peer = record.peer === undefined ? undefined : spiffeIdOf(record.peer);
  return {
    peer: peer && { spiffeId: peer, certificate: shown },
    token: tokenOf(record),
    ...(peer === undefined && shown !== undefined ? { certificate: shown } : {}),
  };
}

function spiffeIdOf(text: string): PeerIdentity['spiffeId'] {
  const id = parseSpiffeId(text);
  if (typeof id === 'string') throw new Misuse(`the record's peer "${text}": ${id}`);
  return id;
}

function tokenOf({ token, input }: DecisionRecord): TokenIdentity | undefined {
  const { credential, claims } = input;
  if (token === undefined || credential === undefined || claims === undefined) return undefined;
  const own: JsonObject = claims;
  const actor = member(own, 'act');
  const issuedAt = member(own, 'iat');
  const spiffeId = credential.kind === 'jwt-svid' ? spiffeIdOf(token.subject) : undefined;
  return {
    ...credential,
    keyId: credential.keyId,
    id: spiffeId?.text ?? `${token.issuer}:${token.subject}`,
    issuer: token.issuer,
    subject: token.subject,
    spiffeId,
    claims: own,
    actor: isJsonObject(actor) ? actor : undefined,
    scopes: scopesOf(own),
    jti: token.jti,
    issuedAt: typeof issuedAt === 'number' ? issuedAt : undefined,
  };
}

function approvalOf({ approval, input }: DecisionRecord): Approval | undefined {
  if (approval === undefined || input.approval === undefined) return undefined;
  const { board, subject, methods, paths, claims, expiresAtMs } = input.approval;
  const templates = paths
    .map((path) => parseTemplate(path))
    .filter((found) => typeof found !== 'string');
  return { ...approval, board, subject, methods, templates, claims, expiresAtMs };
}
