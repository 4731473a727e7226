import type { Snapshot } from '../check.js';
import type { DataSet } from '../evidence/data-files.js';
import type { Approval } from '../evidence/evidence.js';
import { type Caller, callerIds, type TokenIdentity } from '../identity/caller.js';
import { parseSpiffeId } from '../identity/spiffe-id.js';
import type { JsonObject } from '../json/json-value.js';
import { parseTemplate } from '../request/template.js';
import { checkRequestFromJson } from '../wire/check-request-json.js';
import { encodeCheckRequest } from '../wire/external-auth.js';
import { Misuse } from './command.js';
import type { SuiteCaller, SuiteCase } from './suite-schema.js';

/** Seconds that a caller's token of a suite is good for. */
const tokenSeconds = 600;

/** The CheckRequest that a case stands for: as Envoy sends it, the body whole. */
export function requestOf(test: SuiteCase): Uint8Array {
  const { method, host, path, scheme, source, headers } = test.request;
  const body = test.mcp === undefined ? test.body : message(test.mcp);
  const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
  const json = body === undefined ? {} : { 'content-type': 'application/json' };
  const request = checkRequestFromJson({
    attributes: {
      source: { address: { socket_address: { address: source, port_value: 50_000 } } },
      request: {
        http: {
          id: '1',
          method: test.mcp === undefined ? method : 'POST',
          host,
          path,
          scheme,
          protocol: 'HTTP/1.1',
          size: bytes.length,
          headers: { ...json, ...headers, 'x-envoy-auth-partial-body': 'false' },
          raw_body: bytes.toString('base64'),
        },
      },
    },
  });
  if (!request.ok) throw new Misuse(`${test.name}: ${request.reason}`);
  return encodeCheckRequest(request.value);
}

function message(mcp: NonNullable<SuiteCase['mcp']>): object {
  const name = mcp.tool ?? mcp.prompt;
  const params = { name, uri: mcp.resource, arguments: mcp.arguments };
  return { jsonrpc: '2.0', id: 1, method: mcp.method, params };
}

/** The caller as if every credential had been verified: suites test the policy, not signatures. */
export function callerOf(caller: SuiteCaller | undefined, nowMs: number, name: string): Caller {
  const peer = caller?.peer === undefined ? undefined : spiffeId(caller.peer, name);
  return {
    peer: peer && { spiffeId: peer, certificate: undefined },
    token: caller?.token && tokenOf(caller.token, nowMs),
  };
}

function spiffeId(text: string, name: string) {
  const id = parseSpiffeId(text);
  if (typeof id === 'string') throw new Misuse(`${name}: the peer "${text}": ${id}`);
  return id;
}

function tokenOf(token: NonNullable<SuiteCaller['token']>, nowMs: number): TokenIdentity {
  const issuedAt = (token.issuedAt === undefined ? nowMs : Date.parse(token.issuedAt)) / 1000;
  const id = parseSpiffeId(token.subject);
  const isSvid = typeof id !== 'string';
  return {
    kind: isSvid ? 'jwt-svid' : 'jwt',
    id: isSvid ? id.text : `${token.issuer}:${token.subject}`,
    issuer: token.issuer,
    subject: token.subject,
    spiffeId: isSvid ? id : undefined,
    claims: { ...token.claims, ...(token.actor === undefined ? {} : { act: token.actor }) },
    actor: token.actor,
    scopes: token.scopes,
    jti: undefined,
    keyId: undefined,
    issuedAt,
    expiresAt: issuedAt + tokenSeconds,
    proof: token.proof,
    header: 'authorization',
  };
}

/** The snapshot with what the case puts in its place: caller, approval, posture, facts, data. */
export function snapshotOf(
  snapshot: Snapshot,
  test: SuiteCase,
  caller: Caller,
  nowMs: number,
): Snapshot {
  const approval = approvalOf(test, caller, nowMs);
  return {
    ...snapshot,
    identifier: { identify: () => caller },
    approvals: { verify: () => approval },
    facts: { ...snapshot.facts, ...test.facts },
    data: dataOf(snapshot.data, test, caller, nowMs),
  };
}

function approvalOf(test: SuiteCase, caller: Caller, nowMs: number): Approval | undefined {
  const { approval, name } = test;
  if (approval === undefined) return undefined;
  const templates = approval.paths.map((path) => {
    const template = parseTemplate(path);
    if (typeof template === 'string') throw new Misuse(`${name}: the path "${path}": ${template}`);
    return template;
  });
  const { from, approver, methods, subject } = approval;
  return {
    board: from,
    subject: subject ?? callerIds(caller)[0] ?? '',
    approver,
    jti: 'suite',
    methods,
    templates,
    claims: { approver },
    expiresAtMs: nowMs + 1000,
  };
}

function dataOf(data: DataSet, test: SuiteCase, caller: Caller, nowMs: number): DataSet {
  const other = { ...data.other, ...test.data } as JsonObject;
  if (test.posture === undefined) return { ...data, other };
  const entry = test.posture;
  const text = (name: string) => (typeof entry[name] === 'string' ? entry[name] : undefined);
  const listed = {
    status: text('status') ?? 'active',
    secretStatus: text('secretStatus'),
    notBefore: undefined,
    entry,
  };
  const identities = new Map(callerIds(caller).map((id) => [id, listed]));
  return { ...data, other, posture: { updatedAtMs: nowMs, identities } };
}
