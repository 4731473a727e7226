import { decodeJwtBundles, decodeX509Bundles } from '../wire/workload.js';
import { type BundleStreamState, bundleStream } from './bundle-stream.js';
import { grpc } from './grpc.js';
import type { BundleSource } from './key-source.js';
import { parseAuthorities, parseJwtBundle } from './spiffe-bundle.js';
import type { WorkloadEndpoint } from './workload-endpoint.js';

export interface WorkloadApiOptions {
  readonly endpoint: WorkloadEndpoint;
  /** Milliseconds of a clock that does not step back. */
  readonly nowMs: () => number;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
}

export interface WorkloadApi {
  /**
   * The bundles in force; reading them never waits. A trust domain that the agent names no X.509
   * bundle of has none: its peers are refused, and never left to Envoy's word.
   * @param maxAgeMs how long bundles are used after the agent was lost
   */
  bundles(maxAgeMs: number): BundleSource;
  state(): { readonly jwt: BundleStreamState; readonly x509: BundleStreamState };
  close(): void;
}

/** Bundles of a SPIFFE agent, streamed for as long as this is open (SPIFFE Workload API §5.2.2, §6.2.2). */
export function workloadApi({ endpoint, nowMs, random }: WorkloadApiOptions): WorkloadApi {
  const { Client, credentials } = grpc();
  const client = new Client(endpoint.target, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
    // The channel's own back-off stays below the streams', which is the one that counts.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    // An agent that hangs is found out; servers in Go end a connection that asks every five minutes.
    'grpc.keepalive_time_ms': 330_000,
    'grpc.keepalive_timeout_ms': 20_000,
  });
  const common = { client, nowMs, random };
  const jwt = bundleStream({
    ...common,
    method: '/SpiffeWorkloadAPI/FetchJWTBundles',
    decode: decodeJwtBundles,
    parse: parseJwtBundle,
  });
  const x509 = bundleStream({
    ...common,
    method: '/SpiffeWorkloadAPI/FetchX509Bundles',
    decode: decodeX509Bundles,
    parse: parseAuthorities,
  });
  return {
    bundles: (maxAgeMs) => ({
      jwtKeys: (trustDomain) => jwt.get(trustDomain, maxAgeMs),
      x509Authorities: (trustDomain) => x509.get(trustDomain, maxAgeMs),
      // The agent sends every change by itself.
      missing: () => {},
      close: () => {},
    }),
    state: () => ({ jwt: jwt.state(), x509: x509.state() }),
    close() {
      jwt.close();
      x509.close();
      client.close();
    },
  };
}
