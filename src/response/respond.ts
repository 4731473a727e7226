import type { Permit } from '../decision/decide.js';
import type { Decision, Deny } from '../decision/decision.js';
import type { DenyCode } from '../errors.js';
import type { HttpRequest, Request } from '../request/request.js';
import type { HeaderOverwrite } from '../wire/base.js';
import { type CheckResponse, encodeCheckResponse } from '../wire/external-auth.js';
import type { Struct } from '../wire/struct.js';
import { type AnswerCache, createAnswerCache } from './answer-cache.js';
import { challenge, scopeChallenge } from './challenge.js';
import { headerValue } from './header-value.js';
import { httpStatuses, rpcCodes, titles } from './status.js';

export interface ResponseOptions {
  /** Tell the upstream who was permitted, by which rule (`respond.identityHeaders`). */
  readonly identityHeaders: boolean;
  /** Do not forward the token that was verified (`respond.removeCredentials`). */
  readonly removeCredentials: boolean;
  /** URL for MCP callers' `WWW-Authenticate`; '' for none. */
  readonly resourceMetadata: string;
  /** Headers that carry approvals, lower case: never forwarded. */
  readonly approvalHeaders: readonly string[];
}

/** What an answer says beside the decision. Parts are undefined where the Check was refused before. */
export interface AnswerContext {
  readonly decisionId: string;
  readonly revision: string;
  readonly request: Request | undefined;
  /** Whether a request that could not be read was a gRPC call all the same. */
  readonly isGrpc?: boolean | undefined;
  /** The header that carried the verified token; undefined without one. */
  readonly tokenHeader: string | undefined;
  /** Set when the request is judged as MCP: its JSON-RPC id, and the error code of a broken message. */
  readonly mcp: McpAnswer | undefined;
}

export interface McpAnswer {
  readonly id: string | number | null;
  readonly jsonRpcCode: number | undefined;
}

const prefix = 'x-countersign-';
const principalHeader = `${prefix}principal`;
const ruleHeader = `${prefix}rule`;
const decisionHeader = `${prefix}decision`;
const ownHeaders = [principalHeader, ruleHeader, decisionHeader];

/** Answers that differ by the decision id alone, per options in force. */
const caches = new WeakMap<ResponseOptions, AnswerCache>();

/**
 * Turns a decision into the CheckResponse's bytes. Only a `Permit` becomes status 0, always with
 * `ok_response`; a deny has a non-zero status and `denied_response` (ENVOY.md 0, facts 1–3).
 */
export function respond(
  decision: Decision,
  context: AnswerContext,
  options: ResponseOptions,
): Uint8Array {
  const encode = (decisionId: string) =>
    encodeCheckResponse(
      decision.effect === 'permit'
        ? permitResponse(decision, { ...context, decisionId }, options)
        : denyResponse(decision, { ...context, decisionId }, options),
    );
  const key = cacheKey(decision, context, options);
  if (key === undefined) return encode(context.decisionId);
  const cache = caches.get(options) ?? createAnswerCache();
  caches.set(options, cache);
  return cache.answer(key, context.decisionId, encode);
}

/** Everything but the decision id that the answer depends on; undefined where that is one request's own. */
function cacheKey(
  decision: Decision,
  context: AnswerContext,
  { removeCredentials }: ResponseOptions,
): string | undefined {
  const { revision, request, tokenHeader, mcp } = context;
  if (decision.effect === 'deny' && (mcp !== undefined || decision.dpopNonce !== undefined)) {
    return undefined;
  }
  const own = request?.kind === 'http' ? clientCopies(request) : [];
  if (own.length > 0) return undefined;
  const removed = removeCredentials ? (tokenHeader ?? '') : '';
  const parts = [
    decision.code,
    decision.rule?.id ?? '',
    revision,
    String(isGrpc(context)),
    removed,
  ];
  return `${parts.join(' ')} ${decision.principal}`;
}

function isGrpc({ request, isGrpc: isCall }: AnswerContext): boolean {
  return request?.kind === 'http' ? request.grpc !== undefined : isCall === true;
}

/** Headers of the client that only we may set. */
function clientCopies(request: HttpRequest): readonly string[] {
  const names: string[] = [];
  for (const name of request.headers.keys()) if (name.startsWith(prefix)) names.push(name);
  return names;
}

function permitResponse(
  permit: Permit,
  context: AnswerContext,
  options: ResponseOptions,
): CheckResponse {
  const headers: HeaderOverwrite[] = [];
  if (options.identityHeaders) {
    const principal = headerValue(permit.principal);
    if (principal !== undefined) headers.push({ key: principalHeader, value: principal });
    const rule = headerValue(permit.rule.id);
    if (rule !== undefined) headers.push({ key: ruleHeader, value: rule });
    headers.push({ key: decisionHeader, value: context.decisionId });
  }
  const headersToRemove = removals(headers, context, options);
  const dynamicMetadata = metadata(permit, context);
  return { kind: 'ok', headers, headersToRemove, dynamicMetadata };
}

/** Every header of ours that the client sent or could have sent, and is not overwritten. */
function removals(
  set: readonly HeaderOverwrite[],
  context: AnswerContext,
  options: ResponseOptions,
): readonly string[] {
  const names = new Set([...ownHeaders, ...options.approvalHeaders]);
  if (context.request?.kind === 'http') {
    for (const name of clientCopies(context.request)) names.add(name);
  }
  if (options.removeCredentials && context.tokenHeader !== undefined) {
    names.add(context.tokenHeader);
  }
  for (const header of set) names.delete(header.key);
  return [...names];
}

function denyResponse(deny: Deny, context: AnswerContext, options: ResponseOptions): CheckResponse {
  const { code } = deny;
  const isCall = isGrpc(context);
  const status = httpStatuses[code];
  // Envoy translates 400 into gRPC INTERNAL, which clients read as a fault of the server.
  const httpStatus = isCall && status === 400 ? 403 : status;
  const headers: HeaderOverwrite[] = [{ key: decisionHeader, value: context.decisionId }];
  if (status === 401) {
    const metadataUrl = context.mcp === undefined ? '' : options.resourceMetadata;
    const isAsked = context.mcp !== undefined && code === 'credential_missing';
    const scopes = isAsked ? deny.rule?.when?.scopes : undefined;
    const value = challenge(code, deny.dpopNonce, metadataUrl, scopes);
    headers.push({ key: 'www-authenticate', value });
    if (deny.dpopNonce !== undefined) headers.push({ key: 'dpop-nonce', value: deny.dpopNonce });
  } else if (code === 'condition_false' && deny.scopes !== undefined && context.mcp !== undefined) {
    const value = scopeChallenge(deny.scopes, options.resourceMetadata);
    headers.push({ key: 'www-authenticate', value });
  }
  const body = isCall ? `${titles[code]} (${code})` : denyBody(code, httpStatus, context, headers);
  const dynamicMetadata = metadata(deny, context);
  return {
    kind: 'denied',
    status: rpcCodes[httpStatus],
    httpStatus,
    headers,
    body,
    dynamicMetadata,
  };
}

/** Adds the content type and gives the body: JSON-RPC 2.0 §5.1 for MCP, else RFC 9457. */
function denyBody(
  code: DenyCode,
  status: number,
  context: AnswerContext,
  headers: HeaderOverwrite[],
): string {
  const decision = context.decisionId;
  const title = titles[code];
  if (context.mcp !== undefined) {
    headers.push({ key: 'content-type', value: 'application/json' });
    const error = {
      code: context.mcp.jsonRpcCode ?? status,
      message: title,
      data: { code, decision },
    };
    return JSON.stringify({ jsonrpc: '2.0', id: context.mcp.id, error });
  }
  headers.push({ key: 'content-type', value: 'application/problem+json' });
  const type = `urn:countersign:code:${code}`;
  return JSON.stringify({ type, title, status, code, decision });
}

function metadata(decision: Decision, context: AnswerContext): Struct {
  return {
    decision: context.decisionId,
    code: decision.code,
    rule: decision.rule?.id ?? '',
    principal: decision.principal,
    revision: context.revision,
  };
}
