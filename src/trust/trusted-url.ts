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
