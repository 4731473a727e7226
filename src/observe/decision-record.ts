import type { CheckRecord, Seen } from '../check.js';
import { Refusal } from '../errors.js';
import type { TokenIdentity } from '../identity/caller.js';
import { member } from '../json/json-value.js';
import type { HttpRequest } from '../request/request.js';

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
    mcp:
      seen.mcp?.kind === 'message' ? { method: seen.mcp.method, tool: seen.mcp.tool } : undefined,
    grpc: seen.request?.kind === 'http' ? seen.request.grpc : undefined,
    approval: approval && { jti: approval.jti, approver: approval.approver },
    controls: rule === undefined || rule.controls.length === 0 ? undefined : rule.controls,
    shadow: decision.shadow.length === 0 ? undefined : decision.shadow,
    durationUs: record.durationUs,
    input: detail === 'full' ? inputRecord(seen, credentialHeaders) : undefined,
  };
}

function tokenRecord({ issuer, subject, actor, jti }: TokenIdentity): object {
  return { issuer, subject, actor: member(actor, 'sub'), jti };
}

function requestRecord({ id, method, host, path, protocol }: HttpRequest): object {
  return { id, method, host: host.name, path: path.raw, protocol };
}

/** What the policy saw, for `replay`: verified claims, captures, the headers that rules read. */
function inputRecord(seen: Readonly<Seen>, credentialHeaders: ReadonlySet<string>): object {
  const candidates = seen.candidates ?? [];
  const read = new Set(candidates.flatMap(({ rule }) => [...(rule.when?.headers ?? [])]));
  const headers =
    seen.request?.kind === 'http'
      ? [...seen.request.headers].filter(
          ([name]) => (read.has(name) || read.has('*')) && !credentialHeaders.has(name),
        )
      : [];
  return {
    claims: seen.caller?.token?.claims,
    captures: Object.fromEntries(candidates.map(({ rule, captures }) => [rule.id, captures])),
    headers: Object.fromEntries(headers.map(([name, lines]) => [name, lines.join(',')])),
    mcpArguments: seen.mcp?.kind === 'message' ? seen.mcp.arguments : undefined,
  };
}
