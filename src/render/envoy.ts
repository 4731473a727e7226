import type { ListenAddress } from '../config/listen-address.js';
import { because, type Tree } from './annotated.js';
import { countersignCluster, endpointOf, isAddress, loadAssignment } from './cluster.js';
import { agentCluster, type DownstreamOptions, downstreamTls } from './downstream.js';
import { httpFilter } from './ext-authz.js';
import type { Needs } from './needs.js';

const api = 'type.googleapis.com/envoy.extensions.filters';

export interface EnvoyOptions extends DownstreamOptions {
  readonly listener: ListenAddress & { readonly kind: 'tcp' };
  readonly app: ListenAddress;
  readonly hasMcpFilter: boolean;
}

/** A complete bootstrap: a listener, the filters, the application and Countersign. */
export function envoyBootstrap(needs: Needs, options: EnvoyOptions): Tree {
  return because(head, {
    admin: { address: endpointOf({ kind: 'tcp', host: '127.0.0.1', port: 9901 }) },
    node: { id: 'edge-1', cluster: 'edge' },
    static_resources: {
      listeners: [listener(needs, options)],
      clusters: [
        appCluster(options.app),
        countersignCluster(needs, { name: 'countersign', certificates: options.certificates }),
        ...(options.sds === undefined ? [] : [sdsCluster(options.sds)]),
      ],
    },
  });
}

const head =
  'Envoy in front of an application, asking Countersign about every request: made by `countersign render envoy` from countersign.yaml and its policies. Paths of files are relative to the folder that Envoy is started in.';

function listener(needs: Needs, options: EnvoyOptions): Tree {
  const { limits } = needs.config;
  const buffer = Math.max(1048576, needs.bodies.length === 0 ? 0 : limits.body * 2);
  return {
    name: 'ingress',
    address: endpointOf(options.listener),
    per_connection_buffer_limit_bytes: because(
      needs.bodies.length === 0 ? 'A bound.' : 'Room for the body that is judged.',
      buffer,
    ),
    filter_chains: [
      {
        transport_socket: downstreamTls(needs, options),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: connectionManager(needs, options),
          },
        ],
      },
    ],
  };
}

function connectionManager(needs: Needs, options: EnvoyOptions): Tree {
  return {
    '@type': `${api}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: 'ingress',
    codec_type: 'AUTO',
    ...clientAddress(needs),
    ...clientCertificate(needs, options),
    normalize_path: because('One spelling for each path. Countersign checks it again.', true),
    merge_slashes: true,
    path_with_escaped_slashes_action: 'REJECT_REQUEST',
    strip_any_host_port: true,
    strip_trailing_host_dot: true,
    preserve_external_request_id: false,
    request_headers_timeout: because('Bounds, so that slow clients hold nothing.', '10s'),
    stream_idle_timeout: '60s',
    request_timeout: '60s',
    common_http_protocol_options: {
      headers_with_underscores_action: because(
        'Some applications read x_countersign_principal as x-countersign-principal.',
        'REJECT_REQUEST',
      ),
      max_headers_count: 100,
    },
    http2_protocol_options: { max_concurrent_streams: 100 },
    route_config: {
      name: 'local',
      request_headers_to_remove: because('Words of Envoy that a client may have forged.', [
        'x-envoy-auth-partial-body',
        'x-envoy-auth-failure-mode-allowed',
      ]),
      virtual_hosts: [
        {
          name: 'app',
          domains: ['*'],
          routes: [{ match: { prefix: '/' }, route: { cluster: 'app', timeout: '15s' } }],
        },
      ],
    },
    http_filters: [
      ...(options.hasMcpFilter ? [mcpFilter(needs)] : []),
      httpFilter(needs, { cluster: 'countersign', hasMcpFilter: options.hasMcpFilter }),
      {
        name: 'envoy.filters.http.router',
        typed_config: { '@type': `${api}.http.router.v3.Router`, suppress_envoy_headers: true },
      },
    ],
  };
}

/** `clientAddress.trustedHops`: the Nth address from the right, so Envoy must not add one of its own. */
function clientAddress({ config }: Needs) {
  const { trustedHops } = config.trust.clientAddress;
  const why =
    trustedHops === 0
      ? 'Nothing that a client says of its address, its scheme or its route counts.'
      : 'Of what a client says of its address, only what the trusted proxies in front added counts.';
  return {
    use_remote_address: because(why, true),
    xff_num_trusted_hops: because('clientAddress.trustedHops is the same number.', trustedHops),
    skip_xff_append:
      trustedHops === 0
        ? undefined
        : because(
            'Countersign counts from the right of x-forwarded-for: with the peer added there, it would take the last proxy for the client.',
            true,
          ),
  };
}

function clientCertificate({ config }: Needs, { downstream }: EnvoyOptions) {
  if (config.trust.spiffe.peer.xfcc === 'last' && downstream !== 'mtls') {
    return {
      forward_client_cert_details: because(
        'trust.spiffe.peer.xfcc is last: the proxy in front says who the caller is. Whoever else reaches this listener can say so too: let nobody.',
        'ALWAYS_FORWARD_ONLY',
      ),
    };
  }
  const details = { uri: true, subject: true };
  return {
    forward_client_cert_details: because(
      'The copy that a client sent is replaced.',
      'SANITIZE_SET',
    ),
    set_current_client_cert_details: downstream === 'mtls' ? details : undefined,
  };
}

function mcpFilter({ config }: Needs): Tree {
  return because("Envoy's own reading of the message; Countersign refuses one that differs.", {
    name: 'envoy.filters.http.mcp',
    typed_config: {
      '@type': `${api}.http.mcp.v3.Mcp`,
      traffic_mode: because('What is not MCP is for rules without mcp.', 'PASS_THROUGH'),
      max_request_body_size: because('The same number as limits.body.', config.limits.body),
      reject_duplicate_keys: true,
    },
  });
}

function appCluster(app: ListenAddress): Tree {
  return because('The application that is protected.', {
    name: 'app',
    type: isAddress(app) ? 'STATIC' : 'STRICT_DNS',
    connect_timeout: '1s',
    load_assignment: loadAssignment('app', endpointOf(app)),
  });
}

function sdsCluster(path: string): Tree {
  return because('The agent of the SPIFFE Workload API, which speaks SDS on the same socket.', {
    name: agentCluster,
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: loadAssignment(agentCluster, { pipe: { path } }),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: { http2_protocol_options: {} },
      },
    },
  });
}
