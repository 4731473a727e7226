import type { Decoded } from './decoded.js';
import { decode, readBytes, readFields, readMapEntry } from './reader.js';

/** SPIFFE id of a trust domain → its bundle, as the agent wrote both. */
export type BundleMap = ReadonlyMap<string, Uint8Array>;

const noBytes = new Uint8Array(0);

/** The requests for bundles have no fields. */
export const bundlesRequest: Uint8Array = noBytes;

const jwtBundlesField = 1;
const x509BundlesField = 2;

/** Reads JWTBundlesResponse: each bundle is a JWK Set. */
export function decodeJwtBundles(bytes: Uint8Array): Decoded<BundleMap> {
  return decodeBundles(bytes, jwtBundlesField);
}

/**
 * Reads X509BundlesResponse: each bundle is a row of certificates in DER. Its revocation lists are
 * passed over: no released SPIRE agent sends one.
 */
export function decodeX509Bundles(bytes: Uint8Array): Decoded<BundleMap> {
  return decodeBundles(bytes, x509BundlesField);
}

function decodeBundles(bytes: Uint8Array, mapField: number): Decoded<BundleMap> {
  return decode(bytes, (reader) => {
    const bundles = new Map<string, Uint8Array>();
    readFields(reader, (field) => {
      if (field !== mapField) return false;
      readMapEntry(reader, bundles, noBytes, readBytes);
      return true;
    });
    return bundles;
  });
}
