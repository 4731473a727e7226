import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../envoy/find-envoy.js';
import { reserve } from '../examples/quickstart/workplace.js';
import { type Served, startPeer } from './servers.js';
import type { BenchPlace } from './workplace.js';

/** OPA with its Envoy plugin, as `npm run bench:peers` built it. */
export function findOpa(): string | undefined {
  const cache = process.env['COUNTERSIGN_CACHE'] ?? join(root, '.cache');
  const path = process.env['OPA_ENVOY_BIN'] ?? join(cache, 'peers', 'opa-envoy');
  return existsSync(path) ? path : undefined;
}

/**
 * The plugin on `port`, with `bench/peers/bench.rego`: no decision log, no telemetry, no parsing of
 * bodies, verified tokens kept (`io_jwt`), as one would set it up to be fast.
 */
export async function startOpa(binary: string, place: BenchPlace, port: number): Promise<Served> {
  const [http = 0, diagnostic = 0] = await reserve(2);
  const folder = place.path('opa');
  mkdirSync(folder, { recursive: true });
  const policy = readFileSync(join(root, 'bench', 'peers', 'bench.rego'));
  writeFileSync(join(folder, 'bench.rego'), policy);
  const jwks = readFileSync(place.path('ES256.jwks.json'), 'utf8');
  writeFileSync(join(folder, 'data.json'), JSON.stringify({ keys: { jwks } }));
  const config = `
plugins:
  envoy_ext_authz_grpc:
    addr: 127.0.0.1:${port}
    path: bench/result
    skip-request-body-parse: true
caching:
  inter_query_builtin_value_cache:
    named: { io_jwt: { max_num_entries: 8192 } }
`;
  const configFile = place.path('opa.yaml');
  writeFileSync(configFile, config);
  const addresses = [`--addr=127.0.0.1:${http}`, `--diagnostic-addr=127.0.0.1:${diagnostic}`];
  const args = [
    'run',
    '--server',
    ...addresses,
    '--disable-telemetry',
    `--config-file=${configFile}`,
  ];
  return await startPeer(binary, [...args, folder], /Starting gRPC server/);
}
