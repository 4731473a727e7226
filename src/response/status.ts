import { type DenyCode, type DenyStatus, denyCodesByStatus } from '../errors.js';
import type { DeniedRpcCode } from '../wire/external-auth.js';

/** HTTP status → google.rpc.Code of the deny: never 0, so Envoy never reads a deny as an allow. */
export const rpcCodes: Readonly<Record<DenyStatus, DeniedRpcCode>> = {
  400: 3,
  401: 16,
  403: 7,
  503: 14,
};

/** The HTTP status that each code is answered with (PRODUCT.md, Answers). */
export const httpStatuses: Readonly<Record<DenyCode, DenyStatus>> = statusTable();

/** What a client may read about a code: no rule text, nothing of the policy. */
export const titles: Readonly<Record<DenyCode, string>> = {
  request_malformed: 'The request cannot be read',
  path_ambiguous: 'The path can be read in more than one way',
  header_ambiguous: 'A header can be read in more than one way',
  body_unreadable: 'The body cannot be read whole',
  mcp_malformed: 'The MCP message cannot be read',
  credential_missing: 'A credential is required',
  credential_malformed: 'The credential cannot be read',
  credential_ambiguous: 'More than one credential was sent',
  token_issuer_unknown: 'The token is from an issuer that is not accepted here',
  token_algorithm_refused: 'The token is signed with an algorithm that is not accepted',
  token_key_unknown: 'The key of the token is not known',
  token_signature_invalid: 'The signature of the token does not hold',
  token_expired: 'The token has expired',
  token_not_yet_valid: 'The token is not valid yet',
  token_audience_mismatch: 'The token is for another audience',
  token_claim_invalid: 'A claim of the token is missing or wrong',
  token_type_refused: 'A token of this type is not accepted here',
  token_lifetime_exceeded: 'The token lives longer than is accepted',
  token_replayed: 'The token was used before',
  token_too_old: 'The token is too old for this',
  proof_missing: 'A proof of possession is required',
  proof_invalid: 'The proof of possession does not hold',
  peer_invalid: 'The client certificate is not acceptable',
  trust_domain_refused: 'The trust domain is not accepted here',
  revoked: 'The credential is revoked',
  denied_by_rule: 'A rule denies this request',
  no_rule: 'No rule permits this request',
  principal_not_allowed: 'The caller is not permitted to do this',
  source_not_allowed: 'Not permitted from this address',
  outside_window: 'Not permitted at this time',
  approval_missing: 'An approval is required',
  approval_invalid: 'The approval is not acceptable',
  approval_expired: 'The approval has expired',
  approval_mismatch: 'The approval is for something else',
  approval_used: 'The approval was used before',
  posture_unknown: 'The posture of the caller is not known',
  posture_stale: 'The posture of the caller is not known well enough any more',
  posture_refused: 'The posture of the caller is not acceptable',
  condition_false: 'A condition is not met',
  keys_unavailable: 'Keys are not available',
  bundle_unavailable: 'The trust bundle is not available',
  store_unavailable: 'The replay store is not available',
  deadline_exceeded: 'No decision was reached in time',
  overloaded: 'Too many requests at once',
  policy_unavailable: 'No policy is loaded',
  internal_error: 'No decision could be reached',
};

function statusTable(): Record<DenyCode, DenyStatus> {
  const entries = Object.entries(denyCodesByStatus).flatMap(([status, codes]) =>
    codes.map((code) => [code, Number(status)] as const),
  );
  return Object.fromEntries(entries) as Record<DenyCode, DenyStatus>;
}
