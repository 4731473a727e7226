import type { PolicySet } from '../policy/policy-set.js';
import { builtInPrincipals } from '../policy/principal.js';
import type { Result } from './run-suites.js';

/** What of a policy set no case of the suites decided; each list in file order. */
export interface Coverage {
  /** Ids of rules that matched in no case. */
  readonly rules: readonly string[];
  /** `policy/name` of principals that no caller of a case was. */
  readonly principals: readonly string[];
  /** Ids of rules whose condition was in no case true. */
  readonly neverTrue: readonly string[];
  /** Ids of rules whose condition was in no case false. */
  readonly neverFalse: readonly string[];
}

export function coverageOf(results: readonly Result[], { rules }: PolicySet): Coverage {
  const judged = results.flatMap(({ explanation }) => explanation.rules);
  const matched = new Set(judged.filter(({ matches }) => matches).map(({ rule }) => rule));
  const refuted = new Set(
    judged.filter(({ failed }) => failed?.key === 'when').map(({ rule }) => rule),
  );
  const policies = new Map(rules.map(({ id, policy }) => [id, policy]));
  const met = new Set(judged.map(({ rule, principal }) => `${policies.get(rule)}/${principal}`));
  const named = rules.flatMap(({ policy, principals }) =>
    principals
      .filter(({ name }) => !builtInPrincipals.has(name))
      .map(({ name }) => `${policy}/${name}`),
  );
  const conditions = rules.filter(({ when }) => when !== undefined).map(({ id }) => id);
  return {
    rules: rules.map(({ id }) => id).filter((id) => !matched.has(id)),
    principals: [...new Set(named)].filter((name) => !met.has(name)),
    neverTrue: conditions.filter((id) => !matched.has(id)),
    neverFalse: conditions.filter((id) => !refuted.has(id)),
  };
}

/** One line a list that is not empty. */
export function renderCoverage(coverage: Coverage): string {
  const lines: readonly (readonly [string, readonly string[]])[] = [
    ['Rules that no case decided', coverage.rules],
    ['Principals that no case was', coverage.principals],
    ['Conditions that no case found true', coverage.neverTrue],
    ['Conditions that no case found false', coverage.neverFalse],
  ];
  return lines
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) => `${what}: ${names.join(', ')}\n`)
    .join('');
}
