import type { DenyCode } from '../errors.js';
import type { Rule } from '../policy/policy-set.js';
import type { Permit } from './decide.js';

/**
 * The outcome of one Check. There is no default: a permit can only be made by `decide`, from the
 * permit rule that matched completely; whatever else happens has nowhere to go but a deny.
 */
export type Decision = Permit | Deny;

export interface Deny {
  readonly effect: 'deny';
  readonly code: DenyCode;
  /** The deny rule that matched, or the nearest permit rule. */
  readonly rule: Rule | undefined;
  /** The caller's id that `rule` matched; '' where it matched none. */
  readonly principal: string;
  /** Name of the policy's principal; '' where none matched. */
  readonly matched: string;
  readonly shadow: readonly ShadowMatch[];
  /** One sentence for `explain` and the operator's log, never for Envoy. */
  readonly detail: string;
  /** Scopes with which a token would be permitted; absent where that cannot be said. */
  readonly scopes?: readonly string[] | undefined;
  /** The nonce that the caller's next DPoP proof must carry (RFC 9449 §8). */
  readonly dpopNonce?: string | undefined;
}

/** A rule in shadow mode that matched, beside the enforced decision. */
export interface ShadowMatch {
  readonly rule: string;
  readonly effect: 'permit' | 'deny';
}

/** A deny that no rule made: a refused request or credential, a missing store, a passed deadline. */
export function denyOutright(code: DenyCode, detail: string, dpopNonce?: string): Deny {
  const nobody = { rule: undefined, principal: '', matched: '', shadow: [] } as const;
  return { effect: 'deny', code, ...nobody, detail, dpopNonce };
}
