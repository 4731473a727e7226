import { Refusal } from '../errors.js';
import type { Request } from '../request/request.js';
import type { BundleSource } from '../trust/key-source.js';
import type { PeerIdentity } from './caller.js';
import { readPrincipal } from './read-principal.js';
import { type Certificate, checkSvid, parseCertificate } from './x509-svid.js';
import { readXfcc } from './xfcc.js';

export interface PeerOptions {
  readonly trustDomains: ReadonlySet<string>;
  readonly certificate: 'optional' | 'required';
  readonly xfcc: 'off' | 'last';
  /** X.509 authorities per trust domain; undefined: Envoy's verification of the chain stands. */
  readonly bundles: BundleSource | undefined;
}

export type PeerReader = (request: Request, nowMs: number) => PeerIdentity | undefined | Refusal;

const maxCached = 4096;

/**
 * Reads the mTLS peer from `source.principal`, which Envoy takes from the first URI SAN, else a DNS
 * SAN, else the Subject, without saying which (ENVOY.md 0, fact 8). Where Envoy sends the
 * certificate it is always checked: one URI SAN, equal to the principal, a leaf, in its dates.
 */
export function createPeerReader(options: PeerOptions): PeerReader {
  const certificates = new Map<string, Certificate | Refusal>();
  const parse = (pem: string) => {
    const known = certificates.get(pem);
    if (known !== undefined) return known;
    const parsed = parseCertificate(pem);
    if (certificates.size >= maxCached) certificates.clear();
    certificates.set(pem, parsed);
    return parsed;
  };
  return (request, nowMs) => {
    const { principal, certificatePem } = request.peer;
    if (certificatePem === undefined) {
      if (options.certificate === 'required') return invalid('there is no client certificate');
      if (principal === '' && options.xfcc === 'last')
        return readXfcc(request, options.trustDomains);
      const id = readPrincipal(principal, options.trustDomains);
      return id === undefined || id instanceof Refusal
        ? id
        : { spiffeId: id, certificate: undefined };
    }
    const certificate = parse(certificatePem);
    if (certificate instanceof Refusal) return certificate;
    const id = readPrincipal(principal, options.trustDomains);
    if (id === undefined) {
      return options.certificate === 'required' || certificate.uris.length > 0
        ? invalid('the certificate has no SPIFFE id as its principal')
        : undefined;
    }
    if (id instanceof Refusal) return id;
    const fault = checkSvid(certificate, id, options.bundles, nowMs);
    if (fault !== undefined) return fault;
    const { sha256, notBefore } = certificate;
    return { spiffeId: id, certificate: { sha256, notBefore } };
  };
}

function invalid(detail: string): Refusal {
  return new Refusal('peer_invalid', detail);
}
