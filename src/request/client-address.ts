import { isIP } from 'node:net';
import type { Address } from '../wire/address.js';
import type { ClientAddress } from './request.js';

/**
 * The client's address (PRODUCT.md, `clientAddress.trustedHops`). 0: the connection's peer as Envoy
 * sees it. N: the Nth address from the right of `x-forwarded-for`, all lines of which are one list.
 * Undefined when there is none, or it is no plain IP address: a source rule then cannot match.
 */
export function clientAddress(
  source: Address | undefined,
  forwardedFor: readonly string[],
  trustedHops: number,
): ClientAddress | undefined {
  if (trustedHops === 0) {
    if (source?.kind !== 'socket') return undefined;
    const ip = canonicalIp(source.address);
    return ip === undefined ? undefined : { ip, port: source.port };
  }
  const hops = forwardedFor.flatMap((line) => line.split(',')).map((hop) => hop.trim());
  const hop = hops[hops.length - trustedHops];
  const ip = hop === undefined ? undefined : canonicalIp(hop);
  return ip === undefined ? undefined : { ip, port: undefined };
}

/**
 * One spelling for each address: dotted IPv4 (RFC 1123 §2.1, no leading zeros), IPv6 as RFC 5952;
 * an IPv4-mapped IPv6 address is the IPv4 address. Undefined for a zone, a port, brackets and
 * everything else that is not an address.
 */
export function canonicalIp(text: string): string | undefined {
  const version = isIP(text);
  if (version === 4) return text;
  if (version !== 6 || text.includes('%')) return undefined;
  const ip = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(ip);
  if (mapped === null) return ip;
  const high = Number.parseInt(mapped[1] ?? '', 16);
  const low = Number.parseInt(mapped[2] ?? '', 16);
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}
