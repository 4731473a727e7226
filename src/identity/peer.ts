import { Refusal } from '../errors.js';
import type { Request } from '../request/request.js';
import type { BundleSource } from '../trust/key-source.js';
import type { PeerCertificate, PeerIdentity } from './caller.js';
import { readPrincipal } from './read-principal.js';
import { type Certificate, checkSvid, dateFault, parseCertificate } from './x509-svid.js';
import { readXfcc } from './xfcc.js';

export interface PeerOptions {
  readonly trustDomains: ReadonlySet<string>;
  readonly certificate: 'optional' | 'required';
  readonly xfcc: 'off' | 'last';
  /** X.509 authorities per trust domain; undefined: Envoy's verification of the chain stands. */
  readonly bundles: BundleSource | undefined;
}

/** What is known of the connection's other end. */
export interface Peer {
  readonly identity: PeerIdentity | undefined;
  /** Also of a peer without SPIFFE id: a token may be bound to it, or it may be revoked. */
  readonly certificate: PeerCertificate | undefined;
}

export type PeerReader = (request: Request, nowMs: number) => Peer | Refusal;

const maxCached = 1024;
const nobody: Peer = { identity: undefined, certificate: undefined };

/**
 * Reads the mTLS peer from `source.principal`, which Envoy takes from the first URI SAN, else a DNS
 * SAN, else the Subject, without saying which (ENVOY.md 0, fact 8). Where Envoy sends the
 * certificate it is always checked: one URI SAN, equal to the principal, a leaf, in its dates.
 */
export function createPeerReader(options: PeerOptions): PeerReader {
  const known = new Map<string, { readonly pem: string; readonly parsed: Certificate | Refusal }>();
  const parse = (pem: string) => {
    // Its end is its signature; to compare the rest costs less than to look all of it up.
    const end = pem.slice(-96);
    const found = known.get(end);
    if (found?.pem === pem) return found.parsed;
    const parsed = parseCertificate(pem);
    if (known.size >= maxCached) known.clear();
    known.set(end, { pem, parsed });
    return parsed;
  };
  return (request, nowMs) => {
    const { principal, certificatePem } = request.peer;
    if (certificatePem === undefined) return readBare(request, options);
    const certificate = parse(certificatePem);
    return certificate instanceof Refusal
      ? certificate
      : readCertified(principal, certificate, options, nowMs);
  };
}

function invalid(detail: string): Refusal {
  return new Refusal('peer_invalid', detail);
}

/** The peer where Envoy sends no certificate: its word alone, or another proxy's in XFCC. */
function readBare(request: Request, options: PeerOptions): Peer | Refusal {
  if (options.certificate === 'required') return invalid('there is no client certificate');
  const { principal } = request.peer;
  if (principal === '' && options.xfcc === 'last') {
    const forwarded = readXfcc(request, options.trustDomains);
    if (forwarded === undefined || forwarded instanceof Refusal) return forwarded ?? nobody;
    return { identity: forwarded, certificate: forwarded.certificate };
  }
  const id = readPrincipal(principal, options.trustDomains);
  if (id === undefined || id instanceof Refusal) return id ?? nobody;
  return { identity: { spiffeId: id, certificate: undefined }, certificate: undefined };
}

function readCertified(
  principal: string,
  certificate: Certificate,
  options: PeerOptions,
  nowMs: number,
): Peer | Refusal {
  const id = readPrincipal(principal, options.trustDomains);
  if (id instanceof Refusal) return id;
  const shown = { sha256: certificate.sha256, notBefore: certificate.notBefore };
  if (id === undefined) {
    const isHidden = certificate.uris.some((uri) => /^\s*spiffe:/i.test(uri));
    if (principal === '' || isHidden || options.certificate === 'required') {
      return invalid('the certificate has no SPIFFE id as its principal');
    }
    return dateFault(certificate, nowMs) ?? { identity: undefined, certificate: shown };
  }
  const fault = checkSvid(certificate, id, options.bundles, nowMs);
  return fault ?? { identity: { spiffeId: id, certificate: shown }, certificate: shown };
}
