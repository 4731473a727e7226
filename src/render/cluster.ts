import { isIP } from 'node:net';
import type { ListenAddress } from '../config/listen-address.js';
import { because, type Tree } from './annotated.js';
import { authority } from './ext-authz.js';
import type { Needs } from './needs.js';

const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export interface ClusterOptions {
  readonly name: string;
  /** Folder with `countersign-ca.pem`, and with the certificate that Countersign asks Envoy for. */
  readonly certificates: string;
}

/** The cluster that Countersign is: where it listens, HTTP/2, retries, health. */
export function countersignCluster(needs: Needs, { name, certificates }: ClusterOptions): Tree {
  const { limits } = needs.config;
  const target = reachable(needs.listen);
  return {
    name,
    type: isAddress(target) ? 'STATIC' : 'STRICT_DNS',
    connect_timeout: because('It is on this machine: what takes longer is not there.', '0.25s'),
    load_assignment: loadAssignment(name, endpointOf(target)),
    transport_socket: upstreamTls(needs, certificates),
    typed_extension_protocol_options: {
      [options]: {
        '@type': `type.googleapis.com/${options}`,
        explicit_http_config: {
          http2_protocol_options: because('gRPC is HTTP/2.', {
            max_concurrent_streams: because(
              'Less than Countersign takes of one connection (10000): none is refused.',
              1000,
            ),
            connection_keepalive: because('Finds a connection that is dead and still open.', {
              interval: '30s',
              timeout: '5s',
            }),
          }),
        },
      },
    },
    circuit_breakers: because(
      'Above limits.inFlight, so that it is Countersign that refuses, and says so.',
      {
        thresholds: [
          {
            max_connections: 1024,
            max_pending_requests: limits.inFlight,
            max_requests: limits.inFlight + 1024,
            max_retries: because(
              'The default of 3 retries at once would make the retry policy nearly worthless under load.',
              1024,
            ),
          },
        ],
      },
    ),
    health_checks: because(
      'Not serving before the first good load, and while it drains. With one endpoint Envoy still asks it (panic threshold), so this only decides between several.',
      [
        {
          timeout: '1s',
          interval: '2s',
          no_traffic_interval: '2s',
          unhealthy_threshold: 2,
          healthy_threshold: 1,
          grpc_health_check: { service_name: 'envoy.service.auth.v3.Authorization', authority },
        },
      ],
    ),
  };
}

export function loadAssignment(name: string, address: Tree): Tree {
  return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] };
}

export function endpointOf(address: ListenAddress): Tree {
  return address.kind === 'unix'
    ? because('The socket: whoever may write to it may ask (mode 0660).', {
        pipe: { path: address.path },
      })
    : { socket_address: { address: address.host, port_value: address.port } };
}

/** Where Envoy on the same machine reaches it: a wildcard is reached on loopback. */
export function reachable(address: ListenAddress): ListenAddress {
  if (address.kind === 'unix') return address;
  if (address.host === '0.0.0.0') return { ...address, host: '127.0.0.1' };
  return address.host === '::' ? { ...address, host: '::1' } : address;
}

export function isAddress(address: ListenAddress): boolean {
  return address.kind === 'unix' || isIP(address.host) !== 0;
}

function upstreamTls({ config, listen }: Needs, certificates: string): Tree | undefined {
  if (config.tls === undefined) return undefined;
  const { clientCa } = config.tls;
  const target = reachable(listen);
  const host = target.kind === 'tcp' ? target.host : undefined;
  return because('Countersign listens with tls.', {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
      sni: host !== undefined && isIP(host) === 0 ? host : undefined,
      common_tls_context: {
        alpn_protocols: ['h2'],
        tls_certificates:
          clientCa === undefined
            ? undefined
            : because('tls.clientCa is set: Envoy shows a certificate of its own.', [
                {
                  certificate_chain: { filename: `${certificates}/server.pem` },
                  private_key: { filename: `${certificates}/server.key` },
                },
              ]),
        validation_context: {
          trusted_ca: because('Who signed the certificate that tls.certificate names.', {
            filename: `${certificates}/countersign-ca.pem`,
          }),
          match_typed_subject_alt_names:
            host === undefined
              ? undefined
              : because('Its certificate is for where it listens.', [
                  { san_type: isIP(host) === 0 ? 'DNS' : 'IP_ADDRESS', matcher: { exact: host } },
                ]),
        },
      },
    },
  });
}
