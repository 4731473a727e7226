import { X509Certificate } from 'node:crypto';
import { Refusal } from '../errors.js';
import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import { parseJson } from '../json/parse-json.js';
import { readKeys } from './jwks.js';
import type { BundleSource, KeySet } from './key-source.js';

/** One trust domain's bundle (SPIFFE Trust Domain and Bundle §4). */
export interface SpiffeBundle {
  readonly jwtKeys: KeySet;
  /** X.509 authorities, DER. */
  readonly x509Authorities: readonly Uint8Array[];
  readonly warnings: readonly string[];
}

const limits = { maxDepth: 16, maxBytes: 1024 * 1024 };
const jwtSvidAlgorithms = ['RS256', 'ES256', 'ES384', 'ES512'];

/**
 * Reads a SPIFFE bundle document: a JWK Set whose elements name their use. `jwt-svid` keys need a
 * `kid`; of an `x509-svid` element the first certificate counts; an unknown or missing use is
 * ignored. Empty `keys` are a good answer: the whole trust domain is untrusted. `spiffe_sequence`
 * may exceed 2^53 and is not read.
 */
export function parseSpiffeBundle(text: string): SpiffeBundle | string {
  const document = parseJson(withoutSequence(text), limits);
  if (!document.ok) return `the bundle cannot be read: ${document.why}`;
  const entries = isJsonObject(document.value) ? member(document.value, 'keys') : undefined;
  if (!Array.isArray(entries)) return 'the bundle has no list "keys"';
  const objects = entries.filter((entry: JsonValue) => isJsonObject(entry));
  const jwt = objects.filter((jwk) => member(jwk, 'use') === 'jwt-svid');
  const x509 = objects.filter((jwk) => member(jwk, 'use') === 'x509-svid');
  const { keySet, warnings } = readKeys(jwt, keyIdFault, jwtSvidAlgorithms);
  const authorities = x509.map(firstCertificate);
  const unreadable = authorities.filter((der) => der === undefined).length;
  return {
    jwtKeys: keySet,
    x509Authorities: authorities.filter((der) => der !== undefined),
    warnings:
      unreadable === 0 ? warnings : [...warnings, `${unreadable} X.509 authorities skipped`],
  };
}

function withoutSequence(text: string): string {
  return text.replace(/"spiffe_sequence"\s*:\s*\d+/, '"spiffe_sequence":0');
}

function keyIdFault(jwk: JsonObject): string | undefined {
  return typeof member(jwk, 'kid') === 'string' ? undefined : 'a JWT-SVID key needs a "kid"';
}

function firstCertificate(jwk: JsonObject): Uint8Array | undefined {
  const chain = member(jwk, 'x5c');
  const first = Array.isArray(chain) ? chain[0] : undefined;
  return typeof first === 'string' ? Buffer.from(first, 'base64') : undefined;
}

/**
 * Reads a JWT bundle of the Workload API: a JWK Set that an agent sends without the SPIFFE
 * parameters, so a key without `use` is one for JWT-SVIDs; each needs a `kid`. Empty `keys`: the
 * whole trust domain is untrusted.
 */
export function parseJwtBundle(document: Uint8Array): KeySet | string {
  const parsed = parseJson(document, limits);
  if (!parsed.ok) return `it cannot be read: ${parsed.why}`;
  const entries = isJsonObject(parsed.value) ? member(parsed.value, 'keys') : undefined;
  if (!Array.isArray(entries)) return 'it has no list "keys"';
  return readKeys(entries, (jwk) => useFault(jwk) ?? keyIdFault(jwk), jwtSvidAlgorithms).keySet;
}

function useFault(jwk: JsonObject): string | undefined {
  const use = member(jwk, 'use') ?? 'jwt-svid';
  return use === 'jwt-svid' || use === 'sig' ? undefined : 'it is not for JWT-SVIDs';
}

/**
 * Reads an X.509 bundle of the Workload API: certificates in DER, one behind the other. No
 * certificate at all: the whole trust domain is untrusted.
 */
export function parseAuthorities(der: Uint8Array): readonly Uint8Array[] | string {
  const authorities: Uint8Array[] = [];
  try {
    for (let at = 0; at < der.length; ) {
      const rest = der.subarray(at);
      const { raw } = new X509Certificate(rest);
      // Else it is no DER, and where the next certificate begins is unknown.
      if (!raw.equals(rest.subarray(0, raw.length))) return 'a certificate is not in DER';
      authorities.push(raw);
      at += raw.length;
    }
    return authorities;
  } catch {
    return 'a certificate cannot be read';
  }
}

/**
 * Bundles of files, one a trust domain; never pooled. A trust domain whose bundle is configured and
 * was never good is in the map as undefined: nothing of it is trusted.
 * @param others asked for the trust domains that no file is configured for
 */
export function staticBundles(
  bundles: ReadonlyMap<string, SpiffeBundle | undefined>,
  others?: BundleSource,
): BundleSource {
  const away = (trustDomain: string) =>
    new Refusal('bundle_unavailable', `there is no bundle of ${trustDomain}`);
  return {
    jwtKeys(trustDomain) {
      const source = bundles.has(trustDomain) ? undefined : others;
      const keys = bundles.get(trustDomain)?.jwtKeys ?? source?.jwtKeys(trustDomain);
      return keys ?? away(trustDomain);
    },
    x509Authorities(trustDomain) {
      if (!bundles.has(trustDomain)) return others?.x509Authorities(trustDomain);
      return bundles.get(trustDomain)?.x509Authorities ?? away(trustDomain);
    },
    missing: () => {},
    close: () => {},
  };
}
