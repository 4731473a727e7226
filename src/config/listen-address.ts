import { isIP } from 'node:net';

/** Where a server listens: a TCP address, or a unix socket's path. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** Reads `host:port`, `[v6]:port` or `unix:///absolute/path`; undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith('unix://')) {
    const path = text.slice('unix://'.length);
    return path.startsWith('/') ? { kind: 'unix', path } : undefined;
  }
  const [, v6, plain, digits = ''] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? plain;
  const port = Number(digits);
  return host === undefined || digits === '' || port > 65535
    ? undefined
    : { kind: 'tcp', host, port };
}

export function isLoopback(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  const { host } = address;
  // A name may begin with "127." as well, and be anywhere.
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
