import type { Config } from '../config/config-schema.js';
import { type ListenAddress, parseListenAddress } from '../config/listen-address.js';
import type { PolicySet, Rule } from '../policy/policy-set.js';

/** What a configuration and its policies need of the proxy in front of them. */
export interface Needs {
  readonly config: Config;
  readonly listen: ListenAddress;
  /** Rules that read a body or an MCP message. */
  readonly bodies: readonly Rule[];
  /** Rules that read the TLS server name. */
  readonly serverNames: readonly Rule[];
  /** Rules for connections. */
  readonly connections: readonly Rule[];
  /** Rules that name callers by their client certificate. */
  readonly peers: readonly Rule[];
  /** Rules that ask for a token bound to the client certificate. */
  readonly bound: readonly Rule[];
  /** Namespace of Envoy's metadata → the rules that read it; `*`: rules of which it cannot be told. */
  readonly metadata: ReadonlyMap<string, readonly Rule[]>;
  readonly routeMetadata: ReadonlyMap<string, readonly Rule[]>;
  /** Rules that read what a route's `context_extensions` say. */
  readonly extensions: readonly Rule[];
  /** Headers without our prefix that answers remove, lower case. */
  readonly removed: readonly string[];
  readonly readsCookies: boolean;
}

/** Every rule counts, a shadow rule too: it is evaluated like the others. */
export function needsOf(config: Config, { rules }: PolicySet): Needs {
  const reading = (name: string) => rules.filter(({ when }) => when?.reads.has(name) === true);
  return {
    config,
    listen: parseListenAddress(config.listen) ?? { kind: 'tcp', host: '127.0.0.1', port: 9191 },
    bodies: rules.filter(
      ({ route, when }) => route.mcp !== undefined || when?.reads.has('request.body') === true,
    ),
    serverNames: rules.filter(
      ({ route, when }) => route.tcp?.sni !== undefined || when?.reads.has('tls') === true,
    ),
    connections: rules.filter(({ route }) => route.tcp !== undefined),
    peers: rules.filter(
      ({ principals, when }) =>
        principals.some(({ isPeer }) => isPeer) || when?.reads.has('peer') === true,
    ),
    bound: rules.filter(({ require }) => require.proof === 'mtls-bound'),
    metadata: readersOf(rules, 'metadata'),
    routeMetadata: readersOf(rules, 'routeMetadata'),
    extensions: reading('envoy.contextExtensions'),
    removed: removedHeaders(config),
    readsCookies: readsCookies(config, rules),
  };
}

function readersOf(
  rules: readonly Rule[],
  member: 'metadata' | 'routeMetadata',
): ReadonlyMap<string, readonly Rule[]> {
  const readers = new Map<string, Rule[]>();
  for (const rule of rules) {
    for (const name of rule.when?.[member] ?? []) {
      readers.set(name, [...(readers.get(name) ?? []), rule]);
    }
  }
  return new Map([...readers].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Approvals are always removed, tokens under `removeCredentials` (PRODUCT.md, Answers). */
function removedHeaders({ trust, respond }: Config): readonly string[] {
  const tokens = respond.removeCredentials
    ? ['authorization', ...trust.jwt.map(({ header }) => header)]
    : [];
  const approvals = trust.approvals.map(({ header }) => header);
  const names = new Set([...tokens, ...approvals]);
  return [...names].filter((name) => !name.startsWith('x-countersign-')).sort();
}

function readsCookies({ trust }: Config, rules: readonly Rule[]): boolean {
  const headers = [...trust.jwt, ...trust.approvals].map(({ header }) => header);
  const isRead = rules.some(
    ({ when }) => when?.headers.has('cookie') === true || when?.headers.has('*') === true,
  );
  return isRead || headers.includes('cookie');
}

/** Names of rules for a comment: two of them and how many more. */
export function nameRules(rules: readonly Rule[]): string {
  const [first, second, ...more] = rules.map(({ id }) => id);
  if (second === undefined) return first ?? '';
  return `${first}, ${second}${more.length === 0 ? '' : ` and ${more.length} more`}`;
}
