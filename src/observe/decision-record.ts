import type { CheckRecord } from '../check.js';
import { Refusal } from '../errors.js';
import type { ApprovalEvidence } from '../evidence/evidence.js';
import type { TokenIdentity } from '../identity/caller.js';
import { member } from '../json/json-value.js';
import type { Candidate } from '../policy/policy-set.js';
import { parseQuery } from '../request/query.js';
import type { HttpRequest, McpMessage, Request } from '../request/request.js';

type Message = McpMessage & { kind: 'message' };

export type Detail = 'basic' | 'full';

/**
 * One decision as the log has it (PRODUCT.md, Log record); absent parts are left out. No token,
 * signature, key, cookie or body is in it, and the path stands without its query.
 * @param credentialHeaders lower case; never among the headers of `full`
 */
export function decisionRecord(
  record: CheckRecord,
  detail: Detail,
  credentialHeaders: ReadonlySet<string>,
): object {
  const { decision, seen } = record;
  const { rule } = decision;
  const approval = seen.approval instanceof Refusal ? undefined : seen.approval;
  return {
    decision: record.decisionId,
    effect: decision.effect,
    code: decision.code,
    rule: rule?.id,
    policy: rule?.policy,
    revision: record.revision || undefined,
    principal: decision.principal || undefined,
    matched: decision.matched || undefined,
    peer: seen.caller?.peer?.spiffeId.text,
    token: seen.caller?.token && tokenRecord(seen.caller.token),
    request: seen.request?.kind === 'http' ? requestRecord(seen.request) : undefined,
    source: seen.request?.client?.ip,
    mcp: seen.mcp?.kind === 'message' ? mcpRecord(seen.mcp) : undefined,
    grpc: seen.request?.kind === 'http' ? seen.request.grpc : undefined,
    approval: approval && { jti: approval.jti, approver: approval.approver },
    controls: rule === undefined || rule.controls.length === 0 ? undefined : rule.controls,
    shadow: decision.shadow.length === 0 ? undefined : decision.shadow,
    durationUs: record.durationUs,
    input: detail === 'full' ? inputRecord(record, credentialHeaders) : undefined,
  };
}

export function tokenRecord({ issuer, subject, actor, jti }: TokenIdentity): object {
  return { issuer, subject, actor: member(actor, 'sub'), jti };
}

export function mcpRecord({ method, tool }: McpMessage & { kind: 'message' }): object {
  return { method, tool };
}

function requestRecord({ id, method, host, path, protocol }: HttpRequest): object {
  return { id, method, host: host.name, path: path.raw, protocol };
}

/**
 * What the policy saw, complete enough to decide the request again (`explain`, `replay`): the verified
 * claims and approval, captures, and of headers and query what rules read. Never a credential or a body.
 */
function inputRecord(record: CheckRecord, credentialHeaders: ReadonlySet<string>): object {
  const { seen, nowMs } = record;
  const candidates = seen.candidates ?? [];
  const { request, caller, mcp } = seen;
  return {
    at: nowMs,
    captures: Object.fromEntries(candidates.map(({ rule, captures }) => [rule.id, captures])),
    headers: {},
    sni: request?.sni || undefined,
    destination: request?.destination,
    sourcePort: request?.client?.port,
    envoy: request && envoyRecord(request, candidates),
    ...(request?.kind === 'http' ? httpInput(request, candidates, credentialHeaders) : {}),
    claims: caller?.token?.claims,
    credential: caller?.token && credentialRecord(caller.token),
    certificate: caller?.peer?.certificate ?? caller?.certificate,
    mcpArguments: mcp?.kind === 'message' ? mcp.arguments : undefined,
    mcp: mcp?.kind === 'message' ? messageRecord(mcp) : undefined,
    approval: approvalRecord(seen.approval),
  };
}

function messageRecord({ resource, prompt, hasAllArguments }: Message): object {
  return { resource, prompt, allArguments: hasAllArguments ? undefined : false };
}

/** Of what Envoy said, the parts that conditions read. */
function envoyRecord({ envoy }: Request, candidates: readonly Candidate[]): object | undefined {
  const reads = new Set(candidates.flatMap(({ rule }) => [...(rule.when?.reads ?? [])]));
  const parts = (['contextExtensions', 'metadata', 'routeMetadata'] as const)
    .filter((part) => reads.has(`envoy.${part}`))
    .map((part) => [part, Object.fromEntries<unknown>(envoy[part])] as const);
  return parts.length === 0 ? undefined : Object.fromEntries(parts);
}

function httpInput(
  { scheme, host, upgrade, headers, rawQuery, startedAtMs }: HttpRequest,
  candidates: readonly Candidate[],
  credentialHeaders: ReadonlySet<string>,
): object {
  const conditions = candidates.flatMap(({ rule }) => rule.when ?? []);
  const names = new Set(conditions.flatMap((condition) => [...condition.headers]));
  const parameters = new Set(conditions.flatMap((condition) => [...condition.query]));
  const read = [...headers].filter(
    ([name]) => (names.has(name) || names.has('*')) && !credentialHeaders.has(name),
  );
  const query = [...(parseQuery(rawQuery) ?? [])].filter(([name]) => parameters.has(name));
  return {
    scheme,
    port: host.port,
    startedAt: startedAtMs,
    upgrade: upgrade.length === 0 ? undefined : upgrade,
    headers: Object.fromEntries(read.map(([name, lines]) => [name, lines.join(',')])),
    query: query.length === 0 ? undefined : Object.fromEntries(query),
  };
}

function credentialRecord({ kind, proof, keyId, expiresAt, header }: TokenIdentity): object {
  return { kind, proof, keyId, expiresAt, header };
}

function approvalRecord(approval: ApprovalEvidence): object | undefined {
  if (approval === undefined || approval instanceof Refusal) return undefined;
  const { board, subject, methods, templates, claims, expiresAtMs } = approval;
  return {
    board,
    subject,
    methods,
    paths: templates.map(({ source }) => source),
    claims,
    expiresAtMs,
  };
}
