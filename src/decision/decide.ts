import type { Approval } from '../evidence/evidence.js';
import type { Candidate, Rule } from '../policy/policy-set.js';
import type { Spent } from '../replay/replay-store.js';
import type { Decision, Deny, ShadowMatch } from './decision.js';
import {
  type Circumstances,
  judgeRule,
  type RuleFailure,
  type RuleMatch,
  type RuleVerdict,
  stages,
} from './judge-rule.js';

/**
 * A permit. The class is not exported as a value and has a private member, so this file is the only
 * place where one can be made, and it is made from a permit rule that matched completely.
 */
class MatchedPermit {
  readonly #rule: Rule;
  readonly effect = 'permit';
  readonly code = 'permitted';
  readonly principal: string;
  readonly matched: string;
  readonly shadow: readonly ShadowMatch[];

  constructor(rule: Rule, match: RuleMatch, shadow: readonly ShadowMatch[]) {
    this.#rule = rule;
    this.principal = match.principal;
    this.matched = match.matched;
    this.shadow = shadow;
  }

  get rule(): Rule {
    return this.#rule;
  }
}

export type Permit = MatchedPermit;

/** Told of every rule judged, in the order judged: what `explain` shows. */
export type Trace = (candidate: Candidate, verdict: RuleVerdict) => void;

/** Marks an approval as used by this request; called only for a permit that rests on it. */
export type SpendApproval = (approval: Approval) => Spent | Promise<Spent>;

/**
 * Decides one Check by the rules whose route matched, in file order: a matching deny rule ends it;
 * else the first permit rule that matches completely; else a deny with the code of the nearest
 * permit rule (PRODUCT.md, Answers). A rule that rests on an approval permits only once the
 * approval was spent, and only when no rule permits without one.
 */
export function decide(
  candidates: readonly Candidate[],
  facts: Circumstances,
  spend: SpendApproval,
  trace?: Trace,
): Decision | Promise<Decision> {
  const shadow = judgeShadows(candidates, facts, trace);
  const denied = judgeDenies(candidates, facts, shadow, trace);
  if (denied !== undefined) return denied;
  return judgePermits(candidates, facts, shadow, spend, trace);
}

const noShadows: readonly ShadowMatch[] = [];

function judgeShadows(
  candidates: readonly Candidate[],
  facts: Circumstances,
  trace: Trace | undefined,
): readonly ShadowMatch[] {
  let shadows: ShadowMatch[] | undefined;
  for (const candidate of candidates) {
    const { rule } = candidate;
    if (rule.mode !== 'shadow') continue;
    const verdict = judgeRule(candidate, facts);
    trace?.(candidate, verdict);
    if (!verdict.matches) continue;
    shadows ??= [];
    shadows.push({ rule: rule.id, effect: rule.effect });
  }
  return shadows ?? noShadows;
}

function judgeDenies(
  candidates: readonly Candidate[],
  facts: Circumstances,
  shadow: readonly ShadowMatch[],
  trace: Trace | undefined,
): Deny | undefined {
  for (const candidate of candidates) {
    const { rule } = candidate;
    if (rule.effect !== 'deny' || rule.mode !== 'enforce') continue;
    const verdict = judgeRule(candidate, facts);
    trace?.(candidate, verdict);
    if (!verdict.matches) continue;
    const { principal, matched } = verdict;
    const detail = `the deny rule ${rule.id} matches`;
    return { effect: 'deny', code: 'denied_by_rule', rule, principal, matched, shadow, detail };
  }
  return undefined;
}

interface Pending {
  readonly rule: Rule;
  readonly match: RuleMatch;
  readonly approval: Approval;
}

interface Near {
  readonly rule: Rule;
  readonly failure: RuleFailure;
  /** Of the first rule, in file order, from which nothing but scopes kept the caller. */
  readonly scopes: readonly string[] | undefined;
}

function judgePermits(
  candidates: readonly Candidate[],
  facts: Circumstances,
  shadow: readonly ShadowMatch[],
  spend: SpendApproval,
  trace: Trace | undefined,
): Decision | Promise<Decision> {
  let nearest: Near | undefined;
  let pending: Pending[] | undefined;
  for (const candidate of candidates) {
    const { rule } = candidate;
    if (rule.effect !== 'permit' || rule.mode !== 'enforce') continue;
    const verdict = judgeRule(candidate, facts);
    trace?.(candidate, verdict);
    if (!verdict.matches) {
      nearest = nearer(nearest, { rule, failure: verdict, scopes: verdict.scopes });
    } else if (rule.require.approval === undefined) {
      return new MatchedPermit(rule, verdict, shadow);
    } else {
      pending ??= [];
      pending.push({ rule, match: verdict, approval: approvalOf(facts) });
    }
  }
  if (pending === undefined) return deny(nearest, shadow);
  return settle(pending, nearest, shadow, spend);
}

function approvalOf(facts: Circumstances): Approval {
  if (facts.approval !== undefined && 'board' in facts.approval) return facts.approval;
  throw new Error('a rule that requires an approval matched without one');
}

/** Permits by the first rule whose approval this request may use up. */
async function settle(
  pending: readonly Pending[],
  nearest: Near | undefined,
  shadow: readonly ShadowMatch[],
  spend: SpendApproval,
): Promise<Decision> {
  let near = nearest;
  for (const { rule, match, approval } of pending) {
    const spent = await spend(approval);
    if (spent === 'first' || spent === 'again') return new MatchedPermit(rule, match, shadow);
    near = nearer(near, { rule, failure: unspent(match, spent), scopes: undefined });
  }
  return deny(near, shadow);
}

function unspent(match: RuleMatch, spent: 'used' | 'unavailable'): RuleFailure {
  const { principal, matched } = match;
  const failure = { matches: false, stage: 'require', principal, matched } as const;
  return spent === 'used'
    ? { ...failure, code: 'approval_used', detail: 'another request has used the approval' }
    : { ...failure, code: 'store_unavailable', detail: 'the replay store cannot be asked' };
}

/** The one that got further; the first in file order at equal distance. */
function nearer(a: Near | undefined, b: Near): Near {
  if (a === undefined) return b;
  const further = stages.indexOf(b.failure.stage) - stages.indexOf(a.failure.stage);
  const isNearer = further === 0 ? b.rule.order < a.rule.order : further > 0;
  return { ...(isNearer ? b : a), scopes: a.scopes ?? b.scopes };
}

function deny(nearest: Near | undefined, shadow: readonly ShadowMatch[]): Deny {
  if (nearest === undefined) {
    const detail = 'no permit rule is for this host, method and path';
    return {
      effect: 'deny',
      code: 'no_rule',
      rule: undefined,
      principal: '',
      matched: '',
      shadow,
      detail,
    };
  }
  const { rule, failure, scopes } = nearest;
  const { code, principal, matched, detail } = failure;
  return { effect: 'deny', code, rule, principal, matched, shadow, detail, scopes };
}
