import { Refusal } from '../errors.js';
import type { Host } from './request.js';

const name = /^[a-z0-9_](?:[a-z0-9_-]*(?:\.[a-z0-9_-]+)*)$/;
const ipv6 = /^\[[0-9a-f:.]+\]$/;

/**
 * Reads `Host` / `:authority` (RFC 9110 §7.2): lower case, one trailing dot dropped, the port apart.
 * Refuses userinfo and everything that is no name or address; two values that Envoy joined with `,`
 * are ambiguous. An empty host is the host ''.
 */
export function readHost(text: string): Host | Refusal {
  // Beyond ASCII some characters have an ASCII letter as their lower case: the Kelvin sign.
  if (/[^\x20-\x7e]/.test(text)) {
    return new Refusal('request_malformed', 'the host is not a host name or address');
  }
  if (text.includes(',')) return new Refusal('header_ambiguous', 'there are two hosts');
  const [, host = '', digits] =
    /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text.toLowerCase()) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  const canonical = host.endsWith('.') ? host.slice(0, -1) : host;
  const isHost = text === '' || name.test(canonical) || ipv6.test(canonical);
  if (!isHost || (port !== undefined && port > 65535)) {
    return new Refusal('request_malformed', 'the host is not a host name or address');
  }
  return { name: canonical, port };
}
