import { because, type Tree } from './annotated.js';
import { type Needs, nameRules } from './needs.js';

export const authority = 'countersign.local';
const apis = 'type.googleapis.com/envoy.extensions.filters';
const mcpNamespace = 'envoy.filters.http.mcp';

export interface FilterOptions {
  /** Name of the cluster that Countersign is behind. */
  readonly cluster: string;
  /** Whether Envoy's MCP filter stands before this one and its word is sent too. */
  readonly hasMcpFilter: boolean;
}

/** The HTTP filter, as ENVOY-MEASURED.md 1 found it to be safe, with what these policies need and no more. */
export function httpFilter(needs: Needs, options: FilterOptions): Tree {
  return {
    name: 'envoy.filters.http.ext_authz',
    typed_config: {
      '@type': `${apis}.http.ext_authz.v3.ExtAuthz`,
      transport_api_version: because('The only version that Countersign speaks.', 'V3'),
      stat_prefix: because(
        'Counters of this filter have their own names: ext_authz.countersign.*',
        'countersign',
      ),
      grpc_service: grpcService(needs, options),
      failure_mode_allow: because('Without an answer nothing goes through.', false),
      status_on_error: because('Tells a sidecar that is away (503) from a deny (401, 403).', {
        code: 'ServiceUnavailable',
      }),
      validate_mutations: because(
        'An answer that would break the request is refused with 500, not applied.',
        true,
      ),
      encode_raw_headers: because(
        'Headers arrive byte by byte, and a repeated one as two; else Envoy joins and rewrites them.',
        true,
      ),
      ...callerKeys(needs),
      with_request_body: requestBody(needs),
      ...metadataKeys(needs, options),
      disallowed_headers: needs.readsCookies
        ? undefined
        : because('No rule reads cookies: they stay with the application.', {
            patterns: [{ exact: 'cookie', ignore_case: true }],
          }),
      decoder_header_mutation_rules: mutationRules(needs),
    },
  };
}

/** The network filter: it asks about each connection, for rules with `tcp`. */
export function networkFilter(needs: Needs, options: FilterOptions): Tree {
  return {
    name: 'envoy.filters.network.ext_authz',
    typed_config: {
      '@type': `${apis}.network.ext_authz.v3.ExtAuthz`,
      transport_api_version: 'V3',
      stat_prefix: 'countersign',
      grpc_service: grpcService(needs, options),
      failure_mode_allow: because('Without an answer the connection is closed.', false),
      ...callerKeys(needs),
    },
  };
}

function grpcService({ config }: Needs, { cluster }: FilterOptions): Tree {
  const seconds = Math.max(1000, config.deadline * 2 + 500) / 1000;
  return {
    timeout: because(
      `Connect, all retries and their waits together. Longer than Countersign's own deadline (${config.deadline} ms), so that it is Countersign that says why; long enough to wait for a restart.`,
      `${seconds}s`,
    ),
    envoy_grpc: {
      cluster_name: cluster,
      authority,
      skip_envoy_headers: because("Envoy's own headers do not go into the call.", true),
    },
    retry_policy: because(
      'A Check that was not served is sent again: with circuit_breakers.max_retries this is what makes restarts of the sidecar go without a failed request. Countersign answers a repeated Check alike.',
      {
        retry_on: 'connect-failure,refused-stream,reset,unavailable,cancelled',
        num_retries: 15,
        retry_back_off: { base_interval: '0.025s', max_interval: '0.25s' },
      },
    ),
  };
}

function callerKeys({ serverNames }: Needs) {
  return {
    include_peer_certificate: because(
      'Only the certificate tells a URI SAN from a DNS name that looks like one; tokens can be bound to it.',
      true,
    ),
    include_tls_session:
      serverNames.length === 0
        ? undefined
        : because(`The TLS server name is read by ${nameRules(serverNames)}.`, true),
  };
}

function requestBody({ bodies, config }: Needs): Tree | undefined {
  if (bodies.length === 0) return undefined;
  return because(`The body, or the MCP message in it, is read by ${nameRules(bodies)}.`, {
    max_request_bytes: because('The same number as limits.body.', Math.max(1, config.limits.body)),
    allow_partial_message: because(
      'A longer body is refused with 413, never judged in part.',
      false,
    ),
    pack_as_bytes: because('As text, Envoy would replace each byte that is no UTF-8.', true),
  });
}

function metadataKeys({ metadata, routeMetadata }: Needs, { hasMcpFilter }: FilterOptions) {
  const known = (names: Iterable<string>) => [...names].filter((name) => name !== '*');
  const dynamic = known(metadata.keys());
  if (hasMcpFilter && !dynamic.includes(mcpNamespace)) dynamic.push(mcpNamespace);
  const route = known(routeMetadata.keys());
  return {
    metadata_context_namespaces:
      dynamic.length === 0
        ? undefined
        : because(`Exactly what is read: ${readers(metadata, dynamic)}.`, dynamic),
    route_metadata_context_namespaces:
      route.length === 0
        ? undefined
        : because(`Of the route, exactly what is read: ${readers(routeMetadata, route)}.`, route),
  };
}

function readers(rules: Needs['metadata'], names: readonly string[]): string {
  return names
    .map((name) => {
      const by = rules.get(name);
      const who = by === undefined ? 'what the MCP filter read' : `by ${nameRules(by)}`;
      return names.length === 1 ? who : `${name} ${who}`;
    })
    .join('; ');
}

function mutationRules({ removed }: Needs): Tree {
  const names = ['x-countersign-.*', ...removed.map(quotePattern)];
  const more = removed.length === 0 ? '' : `, and ${removed.join(', ')}, which it removes`;
  return because(
    `All that an answer may change: Countersign's own headers${more}. Anything else is refused with 500.`,
    {
      disallow_all: true,
      allow_expression: { regex: names.join('|') },
      disallow_is_error: because(
        'Without this a refused change is skipped in silence, and the copy that the client sent stays.',
        true,
      ),
    },
  );
}

/** The characters of header names (RFC 9110 §5.6.2) that RE2 reads as more than themselves. */
function quotePattern(name: string): string {
  return name.replace(/[.*+^$|]/g, '\\$&');
}
