import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { findEnvoy } from '../../../envoy/find-envoy.js';
import { type RunningEnvoy, runEnvoy } from '../../../envoy/run-envoy.js';
import { startUpstream, type Upstream } from '../../../examples/quickstart/upstream.js';
import { reserve } from '../../../examples/quickstart/workplace.js';
import type { ControlPlane } from '../control-plane.js';
import type { Manifest } from '../kubectl.js';
import { eventually } from '../program.js';
import type { Istiod } from './istiod.js';

/**
 * One workload of the mesh without pods: a Pod object with an address of loopback, an application,
 * and a real Envoy that takes its configuration from istiod.
 */
export interface Workload {
  readonly ip: string;
  readonly ports: WorkloadPorts;
  readonly upstream: Upstream;
  /** The configuration that istiod has pushed, as Envoy has it. */
  pushed(): Promise<string>;
  stop(): Promise<void>;
}

export interface WorkloadPorts {
  readonly http: number;
  readonly https: number;
  readonly tcp: number;
  /** Another TCP port, for which the policy of the tests has a permit. */
  readonly tcpPermitted: number;
}

export const ports: WorkloadPorts = { http: 19080, https: 19443, tcp: 19090, tcpPermitted: 19091 };

export interface WorkloadOptions {
  /** Name and namespace of the workload. */
  readonly name: string;
  /** The last number of its address 127.0.1.N. */
  readonly number: number;
  /** What the test is about: policies, filters; applied before Envoy starts. */
  readonly objects: readonly Manifest[];
  /** More of the `Sidecar` resource. */
  readonly sidecar?: Readonly<Record<string, unknown>>;
  /** Files server.pem, server.key and ca.pem, for the port with mutual TLS. */
  readonly certificates: string;
  /** An application of its own behind the port `tcp`. */
  readonly tcpApplication?: number;
  /** A text in the pushed configuration that shows that istiod has seen all of the objects. */
  readonly shows: string;
}

/** Starts all of it and resolves when Envoy has its whole configuration. */
export async function startWorkload(
  cluster: ControlPlane,
  istiod: Istiod,
  options: WorkloadOptions,
): Promise<Workload> {
  const { name, number } = options;
  const ip = `127.0.1.${number}`;
  const [app = 0, admin = 0] = await reserve(2);
  await cluster.addNamespace(name);
  await cluster.kubectl.apply(
    [...objectsOf(options, ip, app), ...options.objects].map((manifest) => ({
      ...manifest,
      metadata: { ...manifest.metadata, namespace: manifest.metadata.namespace ?? name },
    })),
  );
  // Istiod takes the labels of a workload from the Pod that has its address.
  await cluster.kubectl.must([
    ...['patch', 'pod', '-n', name, 'orders', '--subresource=status', '--type=merge', '-p'],
    JSON.stringify({ status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] } }),
  ]);
  const upstream = await startUpstream(app);
  const envoy = await startEnvoy(cluster, istiod, name, ip, admin);
  const pushed = async () =>
    await (await fetch(`http://127.0.0.1:${admin}/config_dump?include_eds`)).text();
  const workload: Workload = {
    ip,
    ports,
    upstream,
    pushed,
    stop: async () => {
      await envoy.stop();
      await upstream.stop();
    },
  };
  try {
    await eventually(
      async () => ((await pushed()).includes(options.shows) ? true : undefined),
      () => `istiod does not push ${options.shows}: ${envoy.output().slice(-2000)}`,
    );
    await eventually(
      async () => ((await countListeners(admin, ip)) >= 4 ? true : undefined),
      () => `Envoy does not listen: ${envoy.output().slice(-2000)}`,
    );
  } catch (error) {
    await workload.stop();
    throw error;
  }
  return workload;
}

async function countListeners(admin: number, ip: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${admin}/listeners`)).text();
  return text.split('\n').filter((line) => line.includes(`::${ip}:`)).length;
}

function objectsOf(
  { sidecar, certificates, name, tcpApplication }: WorkloadOptions,
  ip: string,
  app: number,
): readonly Manifest[] {
  const labels = { app: 'orders' };
  const ingress = (number: number, protocol: string, to = app) => ({
    port: { number, protocol, name: `${protocol.toLowerCase()}-${number}` },
    bind: ip,
    captureMode: 'NONE',
    defaultEndpoint: `127.0.0.1:${to}`,
  });
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'orders', labels },
      spec: { nodeName: `none-${name}`, containers: [{ name: 'app', image: 'app:local' }] },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'Sidecar',
      metadata: { name: 'orders' },
      spec: {
        workloadSelector: { labels },
        ingress: [
          ingress(ports.http, 'HTTP'),
          ingress(ports.https, 'HTTP'),
          ingress(ports.tcp, 'TCP', tcpApplication),
          ingress(ports.tcpPermitted, 'TCP'),
        ],
        ...sidecar,
      },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata: { name: 'orders' },
      spec: { selector: { matchLabels: labels }, mtls: { mode: 'DISABLE' } },
    },
    mutualTls(certificates, labels),
  ];
}

/**
 * Mutual TLS on one port by files, in the place of Istio's: its certificates come from an agent, and
 * there is none beside a plain Envoy. The pods of the suite have it.
 */
function mutualTls(folder: string, labels: Readonly<Record<string, string>>): Manifest {
  const file = (name: string) => ({ filename: join(folder, name) });
  const context = {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    require_client_certificate: true,
    common_tls_context: {
      tls_certificates: [
        { certificate_chain: file('server.pem'), private_key: file('server.key') },
      ],
      validation_context: { trusted_ca: file('ca.pem') },
    },
  };
  const socket = { name: 'envoy.transport_sockets.tls', typed_config: context };
  return {
    apiVersion: 'networking.istio.io/v1alpha3',
    kind: 'EnvoyFilter',
    metadata: { name: 'mutual-tls' },
    spec: {
      workloadSelector: { labels },
      configPatches: [
        {
          applyTo: 'FILTER_CHAIN',
          match: { context: 'SIDECAR_INBOUND', listener: { portNumber: ports.https } },
          patch: { operation: 'MERGE', value: { transport_socket: socket } },
        },
      ],
    },
  };
}

async function startEnvoy(
  { folder }: ControlPlane,
  { discoveryPort }: Istiod,
  name: string,
  ip: string,
  admin: number,
): Promise<RunningEnvoy> {
  const envoy = await findEnvoy(() => {});
  if (envoy.kind === 'none') throw new Error(envoy.why);
  const here = join(folder, `envoy-${name}`);
  mkdirSync(here);
  return await runEnvoy(envoy, here, stringify(bootstrap(discoveryPort, name, ip, admin)), admin);
}

function bootstrap(discoveryPort: number, namespace: string, ip: string, admin: number): object {
  const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const http2 = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    admin: { address: at(admin) },
    node: {
      id: `sidecar~${ip}~orders.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `orders.${namespace}`,
      metadata: {
        NAMESPACE: namespace,
        CLUSTER_ID: 'Kubernetes',
        INTERCEPTION_MODE: 'NONE',
        ISTIO_VERSION: '1.31.0',
        LABELS: { app: 'orders' },
      },
    },
    dynamic_resources: {
      ads_config: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'istiod' } }],
      },
      lds_config: { ads: {}, resource_api_version: 'V3' },
      cds_config: { ads: {}, resource_api_version: 'V3' },
    },
    static_resources: {
      clusters: [
        {
          name: 'istiod',
          type: 'STATIC',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'istiod',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: at(discoveryPort) } }] }],
          },
          typed_extension_protocol_options: {
            [http2]: {
              '@type': `type.googleapis.com/${http2}`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        },
      ],
    },
  };
}
