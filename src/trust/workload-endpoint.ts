import { isIP } from 'node:net';

/** Where a SPIFFE Workload API is served, in the form that a gRPC channel takes. */
export interface WorkloadEndpoint {
  readonly target: string;
}

/**
 * Reads a Workload API address (SPIFFE Workload Endpoint §4): `unix:///absolute/path` or
 * `tcp://IP:port`. A name instead of an address, a path behind a port, a query, a fragment and user
 * information are refused with a sentence.
 */
export function parseWorkloadEndpoint(text: string): WorkloadEndpoint | string {
  const [, scheme, rest = ''] = /^(unix|tcp):(.*)$/s.exec(text) ?? [];
  if (scheme === undefined) return 'a Workload API address begins with unix: or tcp:';
  return scheme === 'unix' ? parseUnix(rest) : parseTcp(rest);
}

function parseUnix(rest: string): WorkloadEndpoint | string {
  const path = rest.startsWith('//') ? rest.slice(2) : rest;
  const isPlain = /^\/[^?#%\s\p{Cc}]+$/u.test(path) && !path.startsWith('//');
  if (!isPlain) return 'a Workload API address has an absolute path: unix:///run/spire/agent.sock';
  return { target: `unix://${path}` };
}

function parseTcp(rest: string): WorkloadEndpoint | string {
  const [, v6, v4, port = ''] = /^\/\/(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(rest) ?? [];
  const isPort = Number(port) >= 1 && Number(port) <= 65535;
  if (isPort && v4 !== undefined && isIP(v4) === 4) return { target: `ipv4:${v4}:${port}` };
  if (isPort && v6 !== undefined && isIP(v6) === 6 && !v6.includes('%')) {
    return { target: `ipv6:[${v6}]:${port}` };
  }
  return 'a Workload API address has an IP address and a port alone: tcp://127.0.0.1:8089';
}
