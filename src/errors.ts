/**
 * Every code a deny can carry, grouped by the HTTP status it is answered with. One word, the same
 * in the answer, the log, the metric and the docs (PRODUCT.md, Answers).
 */
export const denyCodesByStatus = {
  400: [
    'request_malformed',
    'path_ambiguous',
    'header_ambiguous',
    'body_unreadable',
    'mcp_malformed',
  ],
  401: [
    'credential_missing',
    'credential_malformed',
    'credential_ambiguous',
    'token_issuer_unknown',
    'token_algorithm_refused',
    'token_key_unknown',
    'token_signature_invalid',
    'token_expired',
    'token_not_yet_valid',
    'token_audience_mismatch',
    'token_claim_invalid',
    'token_type_refused',
    'token_lifetime_exceeded',
    'token_replayed',
    'token_too_old',
    'proof_missing',
    'proof_invalid',
    'peer_invalid',
    'trust_domain_refused',
  ],
  403: [
    'revoked',
    'denied_by_rule',
    'no_rule',
    'principal_not_allowed',
    'source_not_allowed',
    'outside_window',
    'approval_missing',
    'approval_invalid',
    'approval_expired',
    'approval_mismatch',
    'approval_used',
    'posture_unknown',
    'posture_stale',
    'posture_refused',
    'condition_false',
  ],
  503: [
    'keys_unavailable',
    'bundle_unavailable',
    'store_unavailable',
    'deadline_exceeded',
    'overloaded',
    'policy_unavailable',
    'internal_error',
  ],
} as const;

export type DenyStatus = keyof typeof denyCodesByStatus;
export type DenyCode = (typeof denyCodesByStatus)[DenyStatus][number];
export type Code = 'permitted' | DenyCode;

/**
 * Why a step could not give a value. `detail` is one sentence for `explain` and the operator's log;
 * it never holds a token, a signature, a key, a cookie or a body, and never reaches Envoy.
 */
export class Refusal {
  readonly code: DenyCode;
  readonly detail: string;
  /** A fresh nonce that the caller's next DPoP proof must carry (RFC 9449 §8). */
  readonly dpopNonce: string | undefined;
  constructor(code: DenyCode, detail: string, dpopNonce?: string) {
    this.code = code;
    this.detail = detail;
    this.dpopNonce = dpopNonce;
  }
}
