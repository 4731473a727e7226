import { createHash } from 'node:crypto';
import { Refusal } from '../errors.js';
import { member } from '../json/json-value.js';
import type { ReplayStore } from '../replay/replay-store.js';
import type { Request } from '../request/request.js';
import type { Caller, TokenIdentity } from './caller.js';
import { type Credential, readCredential } from './credential.js';
import { createDpopVerifier, type DpopOptions } from './dpop.js';
import { createPeerReader, type Peer, type PeerOptions } from './peer.js';
import { type ProofContext, proveToken } from './proof.js';
import { createTokenVerifier, type TokenOptions, type VerifiedToken } from './verify-token.js';

export interface IdentityOptions {
  readonly peer: PeerOptions;
  readonly token: TokenOptions;
  readonly onInvalidToken: 'deny' | 'ignore';
  readonly dpop: DpopOptions;
  readonly replay: ReplayStore;
}

export type IdentifyContext = ProofContext;

export interface Identifier {
  /**
   * The caller by every credential that the request shows, or why one of them is not acceptable.
   * Synchronous when nothing has to be verified that was not verified before.
   */
  identify(
    request: Request,
    context: IdentifyContext,
  ): Caller | Refusal | Promise<Caller | Refusal>;
}

/** Peer first, then the one token: form, issuer, signature, claims, single use, proof. */
export function createIdentifier(options: IdentityOptions): Identifier {
  const readPeer = createPeerReader(options.peer);
  const verifyToken = createTokenVerifier(options.token);
  const dpop = createDpopVerifier(options.dpop);
  const headers = [
    'authorization',
    ...new Set(options.token.issuers.map(({ header }) => header)),
  ].filter((header, index, all) => all.indexOf(header) === index);

  const identifyToken = async (
    credential: Credential,
    verified: VerifiedToken | Refusal,
    peer: Peer,
    request: Request,
    context: IdentifyContext,
  ): Promise<Caller | Refusal> => {
    if (verified instanceof Refusal) return refuseToken(verified, peer);
    const proof = await proveToken(
      verified.identity.claims,
      credential,
      peer.certificate,
      request,
      context,
      dpop,
    );
    if (proof instanceof Refusal) return refuseToken(proof, peer);
    const spent = verified.singleUse ? await spend(verified, context) : undefined;
    if (spent !== undefined) return refuseToken(spent, peer);
    return withToken(peer, verified, proof);
  };

  const refuseToken = (refusal: Refusal, peer: Peer): Caller | Refusal => {
    // Where keys or the store are away nothing is known of the token, so it cannot be ignored.
    const isUnknown = ['keys_unavailable', 'bundle_unavailable', 'store_unavailable'];
    const isIgnored = options.onInvalidToken === 'ignore' && !isUnknown.includes(refusal.code);
    return isIgnored ? toCaller(peer, undefined) : refusal;
  };

  const spend = async (
    { identity, toleranceMs }: VerifiedToken,
    context: IdentifyContext,
  ): Promise<Refusal | undefined> => {
    // By `iss`, not by its configured name: two entries for one issuer spend the same token once.
    const name = JSON.stringify(['token', member(identity.claims, 'iss') ?? null, identity.jti]);
    const credential = createHash('sha256').update(name).digest('base64url');
    const untilMs = identity.expiresAt * 1000 + toleranceMs;
    const spent = await options.replay.spend(credential, context.requestDigest(), untilMs);
    if (spent === 'first' || spent === 'again') return undefined;
    return spent === 'used'
      ? new Refusal('token_replayed', 'the token was used by another request')
      : new Refusal('store_unavailable', 'the replay store cannot be asked');
  };

  return {
    identify(request, context) {
      const peer = readPeer(request, context.nowMs);
      if (peer instanceof Refusal) return peer;
      if (request.kind !== 'http') return toCaller(peer, undefined);
      const credential = readCredential(request.headers, headers);
      if (credential instanceof Refusal) return refuseToken(credential, peer);
      if (credential === undefined) return toCaller(peer, undefined);
      const verified = verifyToken(credential, context.nowMs);
      return isPlain(verified, credential)
        ? withToken(peer, verified, 'none')
        : identifyToken(credential, verified, peer, request, context);
    },
  };
}

/** Whether nothing is left to prove or to spend: the way of nearly all requests, without a promise. */
function isPlain(
  verified: VerifiedToken | Refusal,
  credential: Credential,
): verified is VerifiedToken {
  if (verified instanceof Refusal || verified.singleUse) return false;
  return credential.scheme !== 'dpop' && !Object.hasOwn(verified.identity.claims, 'cnf');
}

function withToken(peer: Peer, { identity }: VerifiedToken, proof: TokenIdentity['proof']): Caller {
  return toCaller(peer, proof === 'none' ? identity : { ...identity, proof });
}

function toCaller({ identity, certificate }: Peer, token: TokenIdentity | undefined): Caller {
  return identity === undefined && certificate !== undefined
    ? { peer: undefined, token, certificate }
    : { peer: identity, token };
}
