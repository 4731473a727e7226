import { type DenyCode, Refusal } from '../errors.js';
import { approvalCovers } from '../evidence/approval.js';
import type { DataSet } from '../evidence/data-files.js';
import type { ApprovalEvidence } from '../evidence/evidence.js';
import { postureEntry, requirePosture } from '../evidence/posture.js';
import { type Caller, callerIds } from '../identity/caller.js';
import type { JsonObject, JsonValue } from '../json/json-value.js';
import type { ConditionInput } from '../policy/condition.js';
import type { Candidate, Rule } from '../policy/policy-set.js';
import type { McpMessage, Request } from '../request/request.js';

/** Everything one Check is judged on; verified, immutable, the same for every rule. */
export interface Circumstances {
  readonly request: Request;
  /** Set when a rule with `mcp` has the request's host and path. */
  readonly mcp: McpMessage | undefined;
  /** Set when a rule reads the body and there is one. */
  readonly body: JsonValue | undefined;
  readonly caller: Caller;
  readonly approval: ApprovalEvidence;
  readonly facts: JsonObject;
  readonly data: DataSet;
  /** Epoch milliseconds. */
  readonly nowMs: number;
}

/** The order in which a rule's keys are judged: the further a rule got, the nearer it is. */
export const stages = ['principals', 'source', 'during', 'require', 'when'] as const;
export type Stage = (typeof stages)[number];

export interface RuleMatch {
  readonly matches: true;
  readonly principal: string;
  readonly matched: string;
}

export interface RuleFailure {
  readonly matches: false;
  readonly stage: Stage;
  readonly code: DenyCode;
  readonly detail: string;
  readonly principal: string;
  readonly matched: string;
  /** Set where nothing but scopes of the token is missing: all that the rule asks for. */
  readonly scopes?: readonly string[];
}

export type RuleVerdict = RuleMatch | RuleFailure;

/**
 * Judges one rule whose route (host, method, path, …) matched: all its keys must hold. What cannot
 * be told (a condition that errors, a client address that is not known) counts against the caller:
 * a deny rule then matches, a permit rule does not (PRODUCT.md, principle 1).
 */
export function judgeRule(candidate: Candidate, facts: Circumstances): RuleVerdict {
  const { rule } = candidate;
  const who = matchPrincipal(rule, facts.caller);
  if (who === undefined) return principalFailure(facts.caller);
  const fail = (stage: Stage, code: DenyCode, detail: string): RuleFailure => ({
    matches: false,
    stage,
    code,
    detail,
    ...who,
  });
  const source = judgeSource(rule, facts.request);
  if (source !== undefined) return fail('source', 'source_not_allowed', source);
  if (rule.during !== undefined && !rule.during.some((window) => window.contains(facts.nowMs))) {
    const names = rule.during.map((window) => window.name).join(', ');
    const now = new Date(facts.nowMs).toISOString();
    return fail('during', 'outside_window', `now, ${now}, is outside ${names}`);
  }
  const required = judgeRequirements(rule, facts);
  const isUntold =
    rule.effect === 'deny' && required !== undefined && cannotBeTold(required, facts);
  if (required !== undefined && !isUntold) return fail('require', required.code, required.detail);
  const condition = judgeCondition(candidate, facts, who.matched);
  if (condition !== undefined) {
    const failure = fail('when', 'condition_false', condition);
    const scopes = lackingScopes(candidate, facts, who.matched);
    return scopes === undefined ? failure : { ...failure, scopes };
  }
  return { matches: true, ...who };
}

interface Who {
  readonly principal: string;
  readonly matched: string;
}

function matchPrincipal(rule: Rule, caller: Caller): Who | undefined {
  if (rule.principals.length === 0 && rule.effect === 'deny') {
    return { principal: callerIds(caller)[0] ?? '', matched: 'anyone' };
  }
  for (const principal of rule.principals) {
    const id = principal.match(caller);
    if (id !== undefined) return { principal: id, matched: principal.name };
  }
  return undefined;
}

function principalFailure(caller: Caller): RuleFailure {
  const ids = callerIds(caller);
  const failure = { matches: false, stage: 'principals', principal: '', matched: '' } as const;
  if (ids.length === 0) {
    return { ...failure, code: 'credential_missing', detail: 'the caller showed no identity' };
  }
  const detail = `${ids.join(' with ')} is none of the rule's principals`;
  return { ...failure, code: 'principal_not_allowed', detail };
}

function judgeSource(rule: Rule, request: Request): string | undefined {
  if (rule.source === undefined) return undefined;
  const ip = request.client?.ip;
  if (ip === undefined) {
    return rule.effect === 'deny' ? undefined : 'the client address is not known for certain';
  }
  return rule.source.contains(ip) ? undefined : `${ip} is not in ${rule.source.text.join(', ')}`;
}

function judgeRequirements(rule: Rule, facts: Circumstances): Refusal | undefined {
  const { approval, posture, maxTokenAgeMs, proof } = rule.require;
  if (approval !== undefined) {
    const refusal = judgeApproval(approval.from, facts);
    if (refusal !== undefined) return refusal;
  }
  if (posture !== undefined) {
    const refusal = requirePosture(posture, facts.caller, facts.data.posture, facts.nowMs);
    if (refusal !== undefined) return refusal;
  }
  if (maxTokenAgeMs !== undefined) {
    const refusal = judgeTokenAge(maxTokenAgeMs, facts);
    if (refusal !== undefined) return refusal;
  }
  if (proof !== undefined && facts.caller.token?.proof !== proof) {
    return new Refusal('proof_missing', `the rule asks for a token proven by ${proof}`);
  }
  return undefined;
}

/** Whether a requirement fails for want of knowledge, rather than because it is known not to hold. */
function cannotBeTold({ code }: Refusal, { caller, data }: Circumstances): boolean {
  if (code === 'posture_stale') return true;
  if (code === 'posture_unknown') return data.posture === undefined;
  return code === 'token_too_old' && caller.token?.issuedAt === undefined;
}

function judgeApproval(from: readonly string[], facts: Circumstances): Refusal | undefined {
  const { approval, request, caller } = facts;
  if (approval === undefined || request.kind !== 'http') {
    return new Refusal('approval_missing', `the rule asks for an approval from ${from.join(', ')}`);
  }
  if (approval instanceof Refusal) return approval;
  return approvalCovers(approval, request, caller, from);
}

function judgeTokenAge(maxTokenAgeMs: number, facts: Circumstances): Refusal | undefined {
  const token = facts.caller.token;
  if (token === undefined) {
    return new Refusal(
      'credential_missing',
      'the rule limits the age of a token, and there is none',
    );
  }
  if (token.issuedAt === undefined) {
    return new Refusal('token_too_old', 'the token does not say when it was issued');
  }
  const ageMs = facts.nowMs - token.issuedAt * 1000;
  if (ageMs <= maxTokenAgeMs) return undefined;
  const [old, most] = [ageMs, maxTokenAgeMs].map((ms) => Math.floor(ms / 1000));
  return new Refusal('token_too_old', `the token is ${old} s old, over ${most} s`);
}

/** Undefined when the condition holds for one of the rule's templates that matched. */
function judgeCondition(
  candidate: Candidate,
  facts: Circumstances,
  matched: string,
): string | undefined {
  const { rule, captures } = candidate;
  if (rule.when === undefined) return undefined;
  let why = 'the condition is false';
  for (const captured of captures) {
    const value = rule.when.evaluate(conditionInput(facts, captured, matched));
    if (value === true) return undefined;
    if (value === false) continue;
    if (rule.effect === 'deny') return undefined;
    why = `the condition cannot be decided: ${value.error}`;
  }
  return why;
}

/**
 * The scopes that a permit's condition asks for, where a token with them would be permitted: the
 * caller shows a token, and every other part of the condition is true.
 */
function lackingScopes(
  { rule, captures }: Candidate,
  facts: Circumstances,
  matched: string,
): readonly string[] | undefined {
  const { when } = rule;
  const has = facts.caller.token?.scopes;
  if (rule.effect === 'deny' || facts.mcp === undefined || has === undefined) return undefined;
  if (when === undefined || when.scopes.every((scope) => has.includes(scope))) return undefined;
  const wouldHold = captures.some((captured) =>
    when.holdsButForScopes(conditionInput(facts, captured, matched)),
  );
  return wouldHold ? when.scopes : undefined;
}

function conditionInput(
  facts: Circumstances,
  captures: ConditionInput['captures'],
  principal: string,
): ConditionInput {
  const { approval, data } = facts;
  return {
    request: facts.request,
    captures,
    caller: facts.caller,
    principal,
    mcp: facts.mcp,
    body: facts.body,
    approvalClaims:
      approval === undefined || approval instanceof Refusal ? undefined : approval.claims,
    posture: postureEntry(facts.caller, data.posture),
    facts: facts.facts,
    data: data.other,
    nowMs: facts.nowMs,
  };
}
