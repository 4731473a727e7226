import { isIP } from 'node:net';

/** https, or http from this machine (IDENTITY.md 2.2); nothing that carries a credential. */
export function isTrustedUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  const isV4Loopback = isIP(hostname) === 4 && hostname.startsWith('127.');
  const isLocal = hostname === 'localhost' || hostname === '[::1]' || isV4Loopback;
  return protocol === 'https:' || (protocol === 'http:' && isLocal);
}

/** Whether the configuration of an issuer may name this URL: no https issuer leads to http of this machine. */
export function mayLeadTo(issuer: string, url: string): boolean {
  return isTrustedUrl(url) && (/^https:/i.test(url) || !/^https:/i.test(issuer));
}
