import type { Host } from '../request/request.js';

/** A host of a rule: exact, or `*.example.com` for one label more. */
export interface HostPattern {
  /** Lower case, without port; of a wildcard what follows `*.`. */
  readonly name: string;
  readonly isWildcard: boolean;
  /** Counts only when the rule gives one. */
  readonly port: number | undefined;
}

/** Parses a host pattern; gives why not, as a sentence. */
export function parseHostPattern(text: string): HostPattern | string {
  const [, star, host = '', digits] =
    /^(\*\.)?(\[[0-9a-f:.]+\]|[^:*/\s]+?)\.?(?::(\d{1,5}))?$/.exec(text.toLowerCase()) ?? [];
  const isName = /^(?:\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)$/.test(host);
  if (!isName) return 'a host is a name, an address, or *.example.com, with or without a port';
  const port = digits === undefined ? undefined : Number(digits);
  if (port === 0 || (port ?? 0) > 65535) return 'the port of a host is a number from 1 to 65535';
  return { name: host, isWildcard: star !== undefined, port };
}

/**
 * A request that names no port (Envoy may strip it) could be for any: where a rule gives one, a deny
 * rule then matches and a permit does not.
 */
export function matchHost(pattern: HostPattern, host: Host, effect: 'permit' | 'deny'): boolean {
  const isUntold = host.port === undefined && effect === 'deny';
  if (pattern.port !== undefined && pattern.port !== host.port && !isUntold) return false;
  return pattern.isWildcard ? parentOf(host.name) === pattern.name : host.name === pattern.name;
}

/** What is left of a name without its first label; '' when it has but one, or an empty one. */
export function parentOf(name: string): string {
  const dot = name.indexOf('.');
  return dot <= 0 ? '' : name.slice(dot + 1);
}
