import type { ApprovalBoardConfig, JwtIssuerConfig } from '../config/config-schema.js';
import type { JwtRules } from '../identity/verify-jwt.js';

/** What `typ` may be where none is configured: a generic JWT or an access token (RFC 9068 §2.1). */
export const defaultTypes = ['', 'jwt', 'at+jwt'];

/** What a token or approval of a configured issuer is held to; `types` where it names none. */
export function rulesOf(
  issuer: JwtIssuerConfig | ApprovalBoardConfig,
  types: readonly string[],
): JwtRules {
  return {
    issuer: issuer.issuer,
    audiences: issuer.audiences,
    algorithms: issuer.algorithms,
    types: issuer.types?.map((type) => type.toLowerCase().replace(/^application\//, '')) ?? types,
    requireKeyId: false,
    maxLifetimeMs: issuer.maxLifetime,
    clockToleranceMs: issuer.clockTolerance,
    requiredClaims: issuer.requiredClaims,
  };
}
