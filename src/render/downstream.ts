import { because, type Tree } from './annotated.js';
import type { Needs } from './needs.js';

/** How callers connect: with a client certificate where they have one, by TLS, or in plain text. */
export type Downstream = 'mtls' | 'tls' | 'plain';

export interface DownstreamOptions {
  readonly downstream: Downstream;
  /** Folder with server.pem, server.key and ca.pem. */
  readonly certificates: string;
  /** Socket of an agent that hands out the certificate and the bundle (SPIRE's SDS); undefined: files. */
  readonly sds: string | undefined;
}

const api = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

/** The listener's side of TLS; undefined in plain text. */
export function downstreamTls(needs: Needs, options: DownstreamOptions): Tree | undefined {
  const { downstream, sds } = options;
  if (downstream === 'plain') return undefined;
  const isRequired = needs.config.trust.spiffe.peer.certificate === 'required';
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${api}.DownstreamTlsContext`,
      require_client_certificate:
        downstream === 'tls' ? undefined : requireCertificate(needs, isRequired),
      common_tls_context: {
        alpn_protocols: ['h2', 'http/1.1'],
        tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
        ...(sds === undefined ? certificateFiles(options) : certificateSecret()),
        ...(downstream === 'tls' ? {} : validation(needs, options, isRequired)),
      },
    },
  };
}

function requireCertificate(needs: Needs, isRequired: boolean): Tree {
  return isRequired
    ? because('trust.spiffe.peer.certificate is required.', true)
    : because(
        `A caller may come without a certificate and show a token instead${needs.peers.length === 0 ? '' : '; rules that name SPIFFE ids then do not match'}.`,
        false,
      );
}

function certificateFiles({ certificates }: DownstreamOptions) {
  return {
    tls_certificates: [
      {
        certificate_chain: { filename: `${certificates}/server.pem` },
        private_key: { filename: `${certificates}/server.key` },
      },
    ],
  };
}

function certificateSecret() {
  const why = "This workload's own SVID, as the agent rotates it.";
  return { tls_certificate_sds_secret_configs: because(why, [secret('default')]) };
}

function validation({ config }: Needs, options: DownstreamOptions, isRequired: boolean) {
  const { trustDomains } = config.trust.spiffe;
  const names =
    isRequired && trustDomains.length > 0
      ? because(
          'A certificate with DNS names alone does not connect. Countersign holds the principal to the one URI SAN.',
          trustDomains.map((name) => ({
            san_type: 'URI',
            matcher: { prefix: `spiffe://${name}/` },
          })),
        )
      : undefined;
  if (options.sds === undefined) {
    const trusted = { filename: `${options.certificates}/ca.pem` };
    return {
      validation_context: {
        trusted_ca: because('Who signs the certificates of callers.', trusted),
        match_typed_subject_alt_names: names,
      },
    };
  }
  return {
    combined_validation_context: {
      default_validation_context: { match_typed_subject_alt_names: names },
      validation_context_sds_secret_config: because(
        "The trust domain's bundle, by SPIRE's name for it; ALL is the name of every federated one.",
        secret('ROOTCA') as Record<string, Tree>,
      ),
    },
  };
}

export const agentCluster = 'workload_agent';

function secret(name: string): Tree {
  return {
    name,
    sds_config: {
      resource_api_version: 'V3',
      api_config_source: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: agentCluster } }],
      },
    },
  };
}
