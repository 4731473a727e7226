import { because, type Tree } from './annotated.js';
import { countersignCluster } from './cluster.js';
import { httpFilter, networkFilter } from './ext-authz.js';
import type { IstioOptions } from './istio.js';
import type { Needs } from './needs.js';

const tcpProxy = 'envoy.filters.network.tcp_proxy';
const router = 'envoy.filters.http.router';
const manager = 'envoy.filters.network.http_connection_manager';

/** What the extension provider cannot say: the certificate, raw headers, metadata, a socket, retries. */
export function envoyFilter(needs: Needs, options: IstioOptions): Tree {
  const { namespace, selector, provider } = options;
  const cluster = `${provider}-local`;
  return because(
    'In the place of the provider and the AuthorizationPolicy, not beside them: with both, each request is asked about twice. It reaches into the configuration that this version of Istio makes; try it again before each upgrade.',
    {
      apiVersion: 'networking.istio.io/v1alpha3',
      kind: 'EnvoyFilter',
      metadata: { name: provider, namespace },
      spec: {
        workloadSelector: { labels: selector },
        configPatches: [
          because('Countersign in the same pod; no ServiceEntry is needed.', {
            applyTo: 'CLUSTER',
            match: { context: 'SIDECAR_INBOUND' },
            patch: {
              operation: 'ADD',
              value: countersignCluster(needs, {
                name: cluster,
                certificates: '/etc/countersign/certs',
              }) as Record<string, Tree>,
            },
          }),
          because(
            'Last before the router: behind jwt_authn, whose metadata is there, and behind ALLOW and DENY policies.',
            {
              applyTo: 'HTTP_FILTER',
              match: {
                context: 'SIDECAR_INBOUND',
                listener: {
                  filterChain: { filter: { name: manager, subFilter: { name: router } } },
                },
              },
              patch: {
                operation: 'INSERT_BEFORE',
                value: httpFilter(needs, { cluster, hasMcpFilter: false }) as Record<string, Tree>,
              },
            },
          ),
          because('Connections that speak no HTTP: without this nobody is asked about them.', {
            applyTo: 'NETWORK_FILTER',
            match: {
              context: 'SIDECAR_INBOUND',
              listener: { filterChain: { filter: { name: tcpProxy } } },
            },
            patch: {
              operation: 'INSERT_BEFORE',
              value: networkFilter(needs, { cluster, hasMcpFilter: false }) as Record<string, Tree>,
            },
          }),
        ],
      },
    },
  );
}
