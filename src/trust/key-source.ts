import type { KeyObject } from 'node:crypto';
import type { Refusal } from '../errors.js';

/** One public key that may verify one issuer's signatures. */
export interface VerificationKey {
  readonly kid: string | undefined;
  /** The JWK's `alg`, when it names one: then the key verifies nothing else. */
  readonly alg: string | undefined;
  readonly key: KeyObject;
  /** SHA-256 of the public key (SPKI DER), base64url: one key is the same key under every name. */
  readonly thumbprint: string;
}

/** All usable keys of one issuer or trust domain at one time; immutable, replaced whole. */
export interface KeySet {
  /** Unique in the process: a cached verification holds only under the generation it was made with. */
  readonly generation: number;
  readonly keys: readonly VerificationKey[];
}

/**
 * Where one issuer's keys come from. Reading is synchronous and never waits for a network.
 * A file, a URL, OIDC discovery: one file each beside this one.
 */
export interface KeySource {
  /**
   * The keys in force, or why there are none: `keys_unavailable` (never fetched, or older than
   * allowed). A set without a key is a good answer and refuses every token.
   */
  current(): KeySet | Refusal;
  /** Told of a key id that `current()` lacks: a remote source may refresh, bounded by its back-off. */
  missing(kid: string | undefined): void;
  close(): void;
}

/** JWT-SVID keys and X.509 authorities of trust domains, never pooled (SPIFFE Trust Domain and Bundle §4). */
export interface BundleSource {
  /** Keys for JWT-SVIDs whose `sub` is in `trustDomain`; `bundle_unavailable` where there are none. */
  jwtKeys(trustDomain: string): KeySet | Refusal;
  /** X.509 authorities (DER) of `trustDomain`; undefined: none are configured, Envoy's word stands. */
  x509Authorities(trustDomain: string): readonly Uint8Array[] | Refusal | undefined;
  missing(trustDomain: string, kid: string | undefined): void;
  close(): void;
}
