import { timingSafeEqual } from 'node:crypto';
import { Refusal } from '../errors.js';
import { isJsonObject, type JsonObject, member } from '../json/json-value.js';
import type { Request } from '../request/request.js';
import type { PeerCertificate, TokenIdentity } from './caller.js';
import type { Credential } from './credential.js';
import type { DpopVerifier } from './dpop.js';

export interface ProofContext {
  readonly nowMs: number;
  readonly requestDigest: () => string;
}

/**
 * Holds a token to the key it is bound to by `cnf` (RFC 7800): to the client certificate
 * (RFC 8705 §3.1) or to a DPoP proof (RFC 9449 §7.1). A bound token is never accepted as a plain
 * bearer, whatever a rule asks; a binding that cannot be checked here is refused.
 */
export function proveToken(
  claims: JsonObject,
  credential: Credential,
  certificate: PeerCertificate | undefined,
  request: Request,
  context: ProofContext,
  dpop: DpopVerifier,
): TokenIdentity['proof'] | Refusal | Promise<TokenIdentity['proof'] | Refusal> {
  const confirmation = member(claims, 'cnf');
  if (confirmation === undefined) {
    return credential.scheme === 'dpop'
      ? new Refusal('proof_invalid', 'the token is sent with DPoP and is not bound to a key')
      : 'none';
  }
  if (!isJsonObject(confirmation)) return new Refusal('proof_invalid', 'cnf is not an object');
  const members = Object.keys(confirmation);
  const thumbprint = member(confirmation, 'x5t#S256');
  const jkt = member(confirmation, 'jkt');
  if (members.length !== 1 || (thumbprint === undefined && jkt === undefined)) {
    return new Refusal('proof_invalid', 'cnf names a binding that cannot be checked here');
  }
  if (thumbprint !== undefined) {
    return credential.scheme === 'dpop'
      ? new Refusal('proof_invalid', 'the token is sent with DPoP and is bound to a certificate')
      : proveCertificate(thumbprint, certificate);
  }
  if (typeof jkt !== 'string') return new Refusal('proof_invalid', 'cnf.jkt is not a text');
  if (credential.scheme !== 'dpop') {
    return new Refusal('proof_missing', 'the token is bound to a DPoP key and sent as a bearer');
  }
  return dpop.verify(request, credential.token, jkt, context);
}

function proveCertificate(
  thumbprint: JsonObject[string],
  certificate: PeerCertificate | undefined,
): TokenIdentity['proof'] | Refusal {
  if (certificate === undefined) {
    return new Refusal('proof_missing', 'the token is bound to a certificate and none was sent');
  }
  const shown = Buffer.from(Buffer.from(certificate.sha256, 'hex').toString('base64url'));
  const bound = Buffer.from(typeof thumbprint === 'string' ? thumbprint : '');
  return bound.length === shown.length && timingSafeEqual(bound, shown)
    ? 'mtls-bound'
    : new Refusal('proof_invalid', 'the token is bound to another certificate');
}
