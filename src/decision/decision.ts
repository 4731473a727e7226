import type { DenyCode } from '../errors.js';
import type { Rule } from '../policy/policy-set.js';

/**
 * The outcome of one Check. There is no default: a permit names the permit rule that matched
 * completely, and only `decide` makes one.
 */
export type Decision = Permit | Deny;

declare const decided: unique symbol;

export interface Permit {
  readonly [decided]: true;
  readonly effect: 'permit';
  readonly code: 'permitted';
  readonly rule: Rule;
  /** The caller's id that the rule matched; '' for a caller without identity under `anyone`. */
  readonly principal: string;
  /** Name of the policy's principal. */
  readonly matched: string;
  readonly shadow: readonly ShadowMatch[];
}

export interface Deny {
  readonly effect: 'deny';
  readonly code: DenyCode;
  /** The deny rule that matched, or the nearest permit rule. */
  readonly rule: Rule | undefined;
  readonly principal: string;
  readonly matched: string;
  readonly shadow: readonly ShadowMatch[];
  /** One sentence for `explain` and the operator's log, never for Envoy. */
  readonly detail: string;
}

/** A rule in shadow mode that matched, beside the enforced decision. */
export interface ShadowMatch {
  readonly rule: string;
  readonly effect: 'permit' | 'deny';
}
