import { createHash } from 'node:crypto';
import { decide, type Trace } from './decision/decide.js';
import { type Decision, denyOutright } from './decision/decision.js';
import { Refusal } from './errors.js';
import type { ApprovalVerifier } from './evidence/approval.js';
import type { DataSet } from './evidence/data-files.js';
import type { Approval, ApprovalEvidence } from './evidence/evidence.js';
import { judgePosture } from './evidence/posture.js';
import { findRevocation } from './evidence/revocation.js';
import type { Caller } from './identity/caller.js';
import type { Identifier } from './identity/identify.js';
import type { JsonObject, JsonValue } from './json/json-value.js';
import type { Candidate, PolicySet } from './policy/policy-set.js';
import type { ReplayStore } from './replay/replay-store.js';
import { readJsonBody } from './request/read-body.js';
import { McpRefusal, readMcp } from './request/read-mcp.js';
import { isGrpcCheck, type RequestOptions, readRequest } from './request/read-request.js';
import type { HttpRequest, McpMessage, Request } from './request/request.js';
import { type McpAnswer, type ResponseOptions, respond } from './response/respond.js';
import { decodeCheckRequest } from './wire/external-auth.js';

/** Everything a Check is decided against: immutable, replaced whole by a reload, never mixed. */
export interface Snapshot {
  readonly budgetMs: number;
  readonly maxInFlight: number;
  readonly request: RequestOptions;
  readonly identifier: Identifier;
  readonly approvals: ApprovalVerifier;
  readonly policy: PolicySet;
  readonly facts: JsonObject;
  readonly data: DataSet;
  readonly replay: ReplayStore;
  readonly response: ResponseOptions;
}

/** What became known of a Check on its way, for the log: a later part is absent when it ended before. */
export interface Seen {
  request?: Request;
  /** Set where the request was refused: whether it was a gRPC call. */
  isGrpc?: boolean;
  caller?: Caller;
  mcp?: McpMessage;
  mcpAnswer?: McpAnswer;
  approval?: ApprovalEvidence;
  candidates?: readonly Candidate[];
}

export interface CheckRecord {
  readonly decisionId: string;
  readonly decision: Decision;
  readonly seen: Readonly<Seen>;
  readonly revision: string;
  /** Epoch milliseconds at the start. */
  readonly nowMs: number;
  readonly durationUs: number;
}

export interface CheckDependencies {
  /** The snapshot in force; undefined before the first good load. */
  readonly snapshot: () => Snapshot | undefined;
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds of a clock that never steps back. */
  readonly monotonicMs: () => number;
  readonly newDecisionId: () => string;
  /** How many Checks wait for their answer; kept up to date here. */
  readonly load?: { inFlight: number };
  /** Told of every decision; must not throw or wait. */
  readonly record: (record: CheckRecord) => void;
  /** Milliseconds that a Check which begins now has waited for its turn; absent: none. */
  readonly waitedMs?: () => number;
}

/** How answers are given while nothing is loaded. */
const bareResponse: ResponseOptions = {
  identityHeaders: false,
  removeCredentials: false,
  resourceMetadata: '',
  approvalHeaders: [],
};

/**
 * The whole way of one Check: CheckRequest bytes in, CheckResponse bytes out, at once where nothing
 * has to be waited for. It never throws and its promise never rejects: whatever goes wrong inside is
 * answered as a deny. `timeoutMs` is how long the caller waits for the answer (grpc-timeout),
 * undefined where it does not say.
 */
export function createCheck(
  deps: CheckDependencies,
): (bytes: Uint8Array, timeoutMs?: number) => Uint8Array | Promise<Uint8Array> {
  const load = deps.load ?? { inFlight: 0 };
  return (bytes, timeoutMs = Number.POSITIVE_INFINITY) => {
    const startedMs = deps.monotonicMs();
    const nowMs = deps.nowMs();
    const snapshot = deps.snapshot();
    const seen: Seen = {};
    load.inFlight += 1;
    const start = { nowMs, startedMs, timeoutMs, inFlight: load.inFlight };
    return after(decideWithin(bytes, snapshot, start, seen, deps), (decision) => {
      load.inFlight -= 1;
      const decisionId = deps.newDecisionId();
      const revision = snapshot?.policy.revision ?? '';
      const context = {
        decisionId,
        revision,
        request: seen.request,
        isGrpc: seen.isGrpc,
        tokenHeader: seen.caller?.token?.header,
        mcp: seen.mcpAnswer,
      };
      const answer = respond(decision, context, snapshot?.response ?? bareResponse);
      const durationUs = Math.round((deps.monotonicMs() - startedMs) * 1000);
      deps.record({ decisionId, decision, seen, revision, nowMs, durationUs });
      return answer;
    });
  };
}

/** What is known of a Check before its first byte is read. */
interface Start {
  readonly nowMs: number;
  readonly startedMs: number;
  readonly timeoutMs: number;
  readonly inFlight: number;
}

/** The one place where an exception and a passed deadline become a deny. */
function decideWithin(
  bytes: Uint8Array,
  snapshot: Snapshot | undefined,
  { nowMs, startedMs, timeoutMs, inFlight }: Start,
  seen: Seen,
  deps: CheckDependencies,
): Decision | Promise<Decision> {
  if (snapshot === undefined) return denyOutright('policy_unavailable', 'no policy is loaded yet');
  if (inFlight > snapshot.maxInFlight) {
    return denyOutright('overloaded', `${inFlight} Checks are in flight`);
  }
  const waitedMs = deps.waitedMs?.() ?? 0;
  if (waitedMs > 0 && waitedMs > longestWaitMs(snapshot.budgetMs, timeoutMs)) {
    return denyOutright('overloaded', `it waited ${Math.round(waitedMs)} ms for its turn`);
  }
  const budgetMs = Math.min(snapshot.budgetMs, patienceMs(timeoutMs) - waitedMs);
  if (budgetMs <= 0) return denyOutright('deadline_exceeded', 'its caller waits no longer');
  const inTime = (decision: Decision | undefined): Decision => {
    const isLate = deps.monotonicMs() - startedMs > budgetMs;
    return decision === undefined || isLate
      ? denyOutright('deadline_exceeded', `no decision within ${Math.round(budgetMs)} ms`)
      : decision;
  };
  try {
    const judged = judge(bytes, snapshot, nowMs, seen);
    if (!(judged instanceof Promise)) return inTime(judged);
    const remainingMs = budgetMs - (deps.monotonicMs() - startedMs);
    return withDeadline(judged, remainingMs).then(inTime).catch(failed);
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): Decision {
  return denyOutright('internal_error', error instanceof Error ? error.name : 'not an Error');
}

/** What a caller's patience leaves for a decision: the answer has to travel back (ENVOY.md 3.5). */
function patienceMs(timeoutMs: number): number {
  return timeoutMs - Math.min(10, timeoutMs / 10);
}

/**
 * A Check that waited longer for its turn is not worth deciding: with the queue that is behind it,
 * the answers would come after their callers have gone, and a deny that comes too late is an allow
 * under `failure_mode_allow`. Ten budgets stand for the patience of a caller that names none, or
 * minutes (Istio's 600 s).
 */
function longestWaitMs(budgetMs: number, timeoutMs: number): number {
  return Math.min(timeoutMs, 10 * budgetMs) / 2;
}

/**
 * Judges one Check in the order that PRODUCT.md fixes: the request's form, the credentials,
 * revocation and posture, deny rules, permit rules. Synchronous as far as nothing has to be waited
 * for, so that most Checks never see a timer.
 */
export function judge(
  bytes: Uint8Array,
  snapshot: Snapshot,
  nowMs: number,
  seen: Seen,
  trace?: Trace,
): Decision | Promise<Decision> {
  const decoded = decodeCheckRequest(bytes);
  if (!decoded.ok) return denyOutright('request_malformed', decoded.reason);
  const request = readRequest(decoded.value, snapshot.request);
  if (request instanceof Refusal) {
    seen.isGrpc = isGrpcCheck(decoded.value);
    return refused(request);
  }
  seen.request = request;
  const form = readForm(request, snapshot.policy, seen);
  if (form instanceof Refusal) return refused(form);
  const context = { nowMs, requestDigest: () => digest(bytes) };
  return after(snapshot.identifier.identify(request, context), (caller) => {
    if (caller instanceof Refusal) return refused(caller);
    seen.caller = caller;
    const barred =
      findRevocation(caller, snapshot.data.revocations) ??
      judgePosture(caller, snapshot.data.posture);
    if (barred !== undefined) return refused(barred);
    const approval = readApproval(request, form, snapshot, nowMs);
    if (approval instanceof Refusal && approval.code === 'credential_ambiguous') {
      return refused(approval);
    }
    seen.approval = approval;
    const { facts, data } = snapshot;
    const { mcp, body } = form;
    const circumstances = { request, mcp, body, caller, approval, facts, data, nowMs };
    const spend = (used: Approval) => {
      const credential = digest(JSON.stringify(['approval', used.board, used.jti]));
      return snapshot.replay.spend(credential, digest(bytes), used.expiresAtMs);
    };
    return decide(form.candidates, circumstances, spend, trace);
  });
}

function refused({ code, detail, dpopNonce }: Refusal): Decision {
  return denyOutright(code, detail, dpopNonce);
}

/** What the rules for this route need to see of the request beyond its head. */
interface Form {
  readonly candidates: readonly Candidate[];
  readonly mcp: McpMessage | undefined;
  readonly body: JsonValue | undefined;
}

/** Finds the rules for the route, and reads as MCP and JSON what they read; refused where it is unreadable. */
function readForm(request: Request, policy: PolicySet, seen: Seen): Form | Refusal {
  const byPath = policy.candidates(request);
  if (request.kind !== 'http') return { candidates: byPath, mcp: undefined, body: undefined };
  const mcp = readMcpFor(byPath, request);
  if (mcp instanceof McpRefusal) {
    seen.mcpAnswer = { id: mcp.id, jsonRpcCode: mcp.jsonRpcCode };
    return mcp;
  }
  if (mcp !== undefined) {
    seen.mcp = mcp;
    const id = mcp.kind === 'message' ? mcp.id : undefined;
    seen.mcpAnswer = { id: id ?? null, jsonRpcCode: undefined };
  }
  const candidates = byPath.filter(({ rule }) => rule.route.matches(request, mcp));
  seen.candidates = candidates;
  const body = readBodyFor(candidates, request);
  return body instanceof Refusal ? body : { candidates, mcp, body };
}

/** A rule in shadow mode alone never makes a request unreadable: it then sees nothing. */
function readMcpFor(candidates: readonly Candidate[], request: HttpRequest) {
  const asking = candidates.filter(({ rule }) => rule.route.mcp !== undefined);
  if (asking.length === 0) return undefined;
  const mcp = readMcp(request);
  return mcp instanceof McpRefusal && asking.every(isShadow) ? undefined : mcp;
}

function readBodyFor(candidates: readonly Candidate[], request: HttpRequest) {
  const reading = candidates.filter(({ rule }) => rule.when?.reads.has('request.body') === true);
  if (reading.length === 0) return undefined;
  const body = readJsonBody(request);
  return body instanceof Refusal && reading.every(isShadow) ? undefined : body;
}

const isShadow = ({ rule }: Candidate) => rule.mode === 'shadow';
const readsApproval = ({ rule }: Candidate) =>
  rule.require.approval !== undefined || rule.when?.reads.has('approval') === true;

function readApproval(
  request: Request,
  form: Form,
  snapshot: Snapshot,
  nowMs: number,
): ApprovalEvidence {
  if (request.kind !== 'http') return undefined;
  const needed = form.candidates.some(readsApproval);
  return snapshot.approvals.verify(request.headers, snapshot.data.revocations, nowMs, needed);
}

function digest(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('base64url');
}

/** Goes on at once with a value, later with a promise's. */
function after<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** The value, or undefined when it is not there after `remainingMs`. */
function withDeadline<T>(value: Promise<T>, remainingMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, remainingMs), undefined);
  });
  return Promise.race([value, late]).finally(() => clearTimeout(timer));
}
