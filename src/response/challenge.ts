import type { DenyCode } from '../errors.js';

/**
 * The value of `WWW-Authenticate` for a 401 (RFC 9110 §11.6.1): which scheme to use and, where a
 * token was sent, what the client may know about it (RFC 6750 §3, RFC 9449 §7.1).
 * @param dpopNonce the nonce that the next proof must carry; undefined where none is asked for
 * @param resourceMetadata URL of the protected resource's metadata, for MCP callers (RFC 9728 §5.1)
 * @param scopes what a token should be asked for with, as far as that is known
 */
export function challenge(
  code: DenyCode,
  dpopNonce: string | undefined,
  resourceMetadata: string,
  scopes: readonly string[] = [],
): string {
  if (dpopNonce !== undefined) return 'DPoP error="use_dpop_nonce"';
  const scheme = code === 'proof_missing' || code === 'proof_invalid' ? 'DPoP' : 'Bearer';
  const parameters: string[] = [];
  const error = challengeErrors.get(code);
  if (error !== undefined) parameters.push(`error="${error}"`);
  if (resourceMetadata !== '') parameters.push(`resource_metadata="${resourceMetadata}"`);
  if (scopes.length > 0) parameters.push(`scope="${scopes.join(' ')}"`);
  if (parameters.length === 0) parameters.push('realm="countersign"');
  return `${scheme} ${parameters.join(', ')}`;
}

/**
 * The value of `WWW-Authenticate` for a 403 that a token with these scopes would not get (RFC 6750
 * §3.1; MCP, Authorization, Scope Challenge Handling). A client that reads it asks for them and tries
 * again, so nothing else may say it.
 */
export function scopeChallenge(scopes: readonly string[], resourceMetadata: string): string {
  const parameters = ['error="insufficient_scope"', `scope="${scopes.join(' ')}"`];
  if (resourceMetadata !== '') parameters.push(`resource_metadata="${resourceMetadata}"`);
  return `Bearer ${parameters.join(', ')}`;
}

/** Codes after which another token, or another proof, would help. Absent: nothing was sent. */
const challengeErrors: ReadonlyMap<DenyCode, string> = new Map([
  ['credential_malformed', 'invalid_request'],
  ['credential_ambiguous', 'invalid_request'],
  ['token_issuer_unknown', 'invalid_token'],
  ['token_algorithm_refused', 'invalid_token'],
  ['token_key_unknown', 'invalid_token'],
  ['token_signature_invalid', 'invalid_token'],
  ['token_expired', 'invalid_token'],
  ['token_not_yet_valid', 'invalid_token'],
  ['token_audience_mismatch', 'invalid_token'],
  ['token_claim_invalid', 'invalid_token'],
  ['token_type_refused', 'invalid_token'],
  ['token_lifetime_exceeded', 'invalid_token'],
  ['token_replayed', 'invalid_token'],
  ['token_too_old', 'invalid_token'],
  ['proof_missing', 'invalid_dpop_proof'],
  ['proof_invalid', 'invalid_dpop_proof'],
]);
