import { Refusal } from '../errors.js';
import { barrableIds, type Caller, callerIds } from '../identity/caller.js';
import { type CompactJws, parseCompactJws } from '../identity/compact-jws.js';
import { type JwtRules, verifyJwt } from '../identity/verify-jwt.js';
import { isJsonObject, type JsonValue, member } from '../json/json-value.js';
import type { Headers, HttpRequest } from '../request/request.js';
import { matchTemplate, parseTemplate } from '../request/template.js';
import type { KeySource } from '../trust/key-source.js';
import { pairKey, type Revocations } from './data-files.js';
import type { Approval, ApprovalEvidence } from './evidence.js';

/** One configured issuer of approvals (`trust.approvals`). */
export interface ApprovalBoard {
  readonly name: string;
  readonly header: string;
  readonly rules: JwtRules;
  readonly keys: KeySource;
}

export interface ApprovalVerifier {
  /**
   * Reads the request's approval. Two of them are `credential_ambiguous` whether or not a rule asks
   * for one; else nothing is verified unless `needed`.
   */
  verify(
    headers: Headers,
    revocations: Revocations,
    nowMs: number,
    needed: boolean,
  ): ApprovalEvidence;
}

/** The `typ` of an approval: no identity token has it, so neither passes for the other. */
export const approvalType = 'nhi-approval+jwt';

/** @param maxBytes longest approval that is read */
export function createApprovalVerifier(
  boards: readonly ApprovalBoard[],
  maxBytes: number,
): ApprovalVerifier {
  const headerNames = [...new Set(boards.map(({ header }) => header))];
  return {
    verify(headers, revocations, nowMs, needed) {
      const shown = headerNames.flatMap((header) =>
        (headers.get(header) ?? []).map((line) => ({ header, line })),
      );
      const [first, second] = shown;
      if (first === undefined) return undefined;
      if (second !== undefined || first.line.includes(',')) {
        return new Refusal('credential_ambiguous', 'more than one approval was sent');
      }
      if (!needed) return undefined;
      const candidates = boards.filter(({ header }) => header === first.header);
      return verifyApproval(first.line, candidates, revocations, maxBytes, nowMs);
    },
  };
}

function verifyApproval(
  token: string,
  boards: readonly ApprovalBoard[],
  revocations: Revocations,
  maxBytes: number,
  nowMs: number,
): ApprovalEvidence {
  const jws = parseCompactJws(token, maxBytes);
  if (jws instanceof Refusal) return invalid(jws.detail);
  const iss = member(jws.payload, 'iss');
  const board = boards.find(({ rules }) => rules.issuer === iss);
  if (board === undefined) return invalid('no configured board issues such approvals');
  const keys = board.keys.current();
  if (keys instanceof Refusal) return keys;
  const verified = verifyJwt(jws, board.rules, keys, nowMs);
  if (verified instanceof Refusal) {
    if (verified.code === 'token_key_unknown') board.keys.missing(jws.keyId);
    return verified.code === 'token_expired'
      ? new Refusal('approval_expired', 'the approval has expired')
      : invalid(verified.detail);
  }
  const { jti, keyId, subject, claims, expiresAt } = verified;
  if (jti === undefined || verified.issuedAt === undefined)
    return invalid('it has no jti or no iat');
  if (Object.hasOwn(claims, 'cnf')) return invalid('it is bound to a key, which is not checked');
  const isRevoked =
    revocations.tokens.has(pairKey(board.name, jti)) ||
    (keyId !== undefined && revocations.keys.has(pairKey(board.name, keyId)));
  if (isRevoked) return invalid('it is revoked');
  const rest = readGrant(jws, subject);
  if (rest instanceof Refusal) return rest;
  const expiresAtMs = expiresAt * 1000 + board.rules.clockToleranceMs;
  return { board: board.name, subject, jti, claims, expiresAtMs, ...rest };
}

function invalid(detail: string): Refusal {
  return new Refusal('approval_invalid', `the approval is not acceptable: ${detail}`);
}

function readGrant(
  { payload }: CompactJws,
  subject: string,
): Pick<Approval, 'approver' | 'methods' | 'templates'> | Refusal {
  const approver = member(payload, 'approver');
  if (typeof approver !== 'string' || approver === '') return invalid('it names no approver');
  if (approver === subject) return invalid('the caller approved itself');
  const grant = member(payload, 'grant');
  const methods = texts(isJsonObject(grant) ? member(grant, 'methods') : undefined);
  const paths = texts(isJsonObject(grant) ? member(grant, 'paths') : undefined);
  if (methods === undefined || paths === undefined) return invalid('it grants no methods or paths');
  const templates = paths.map((path) => parseTemplate(path));
  const readable = templates.filter((template) => typeof template !== 'string');
  if (readable.length < templates.length) return invalid('a path that it grants is no template');
  return { approver, methods, templates: readable };
}

function texts(value: JsonValue | undefined): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const all = value.filter((item: JsonValue) => typeof item === 'string');
  return all.length === value.length ? all : undefined;
}

/**
 * Whether a verified approval is one that the rule asks for, and for this caller, method and path.
 * The approver must be nobody that the caller is, or acts as.
 */
export function approvalCovers(
  approval: Approval,
  request: HttpRequest,
  caller: Caller,
  from: readonly string[],
): Refusal | undefined {
  const mismatch = (detail: string) => new Refusal('approval_mismatch', detail);
  if (!from.includes(approval.board)) return mismatch(`the approval is by ${approval.board}`);
  const ids = callerIds(caller);
  if (!ids.includes(approval.subject)) return mismatch('the approval is for another caller');
  if (isCaller(caller, approval.approver)) return invalid('the caller approved itself');
  if (!approval.methods.includes(request.method)) {
    return mismatch('the approval is for another method');
  }
  const { segments } = request.path;
  const isForPath = approval.templates.some((template) => matchTemplate(template, segments));
  return isForPath ? undefined : mismatch('the approval is for another path');
}

/** The approver may be named with its issuer, like a caller, or without. */
function isCaller(caller: Caller, approver: string): boolean {
  const { token } = caller;
  const bare = [token?.subject, member(token?.actor, 'sub')];
  return barrableIds(caller).includes(approver) || bare.includes(approver);
}
