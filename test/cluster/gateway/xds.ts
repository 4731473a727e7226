import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What `egctl x translate --to xds -t all -o json` prints for one Gateway, as far as it is used here. */
export interface ConfigDump {
  readonly configs: readonly Dump[];
}

interface Dump {
  readonly dynamicListeners?: readonly { readonly activeState: { readonly listener: Named } }[];
  readonly dynamicRouteConfigs?: readonly { readonly routeConfig: object }[];
  readonly dynamicActiveClusters?: readonly { readonly cluster: Cluster }[];
  readonly dynamicEndpointConfigs?: readonly { readonly endpointConfig: Endpoints }[];
}

interface Named {
  readonly name: string;
}

interface Cluster {
  readonly edsClusterConfig?: { readonly serviceName: string };
}

interface Endpoints {
  readonly clusterName: string;
}

/** Text in what the gateway would push → what stands there in this run. */
export type Places = readonly (readonly [string, string])[];

/**
 * Writes what the gateway would push into files from which Envoy reads it, and gives the bootstrap
 * that says so. Nothing is changed but where each is fetched from, and `places`.
 */
export function fromFiles(
  folder: string,
  { configs }: ConfigDump,
  listener: string,
  places: Places,
  adminPort: number,
): object {
  const path = (name: string) => ({ pathConfigSource: { path: join(folder, name) } });
  const fetchedFrom = (text: string, key: string, name: string) =>
    text.replaceAll(`"${key}":{"ads":{}`, `"${key}":${JSON.stringify(path(name)).slice(0, -1)}`);
  const write = (name: string, text: string) => {
    const placed = places.reduce((before, [from, to]) => before.replaceAll(from, to), text);
    writeFileSync(join(folder, name), `{"versionInfo":"1","resources":[${placed}]}`);
  };
  const all = <T>(read: (dump: Dump) => readonly T[] | undefined) =>
    configs.flatMap((dump) => read(dump) ?? []);
  const listeners = all((dump) => dump.dynamicListeners)
    .map(({ activeState }) => activeState.listener)
    .filter(({ name }) => name === listener)
    .map((one) => fetchedFrom(JSON.stringify(one), 'configSource', 'rds.json'));
  write('lds.json', listeners.join());
  const routes = all((dump) => dump.dynamicRouteConfigs);
  write('rds.json', routes.map((one) => JSON.stringify(one.routeConfig)).join());
  const endpoints = all((dump) => dump.dynamicEndpointConfigs).map((one) => one.endpointConfig);
  // Envoy takes the endpoints of one cluster from a file.
  for (const [at, one] of endpoints.entries()) write(`eds-${at}.json`, JSON.stringify(one));
  const clusters = all((dump) => dump.dynamicActiveClusters).map(({ cluster }) => {
    const { serviceName } = cluster.edsClusterConfig ?? {};
    const at = endpoints.findIndex(({ clusterName }) => clusterName === serviceName);
    return fetchedFrom(JSON.stringify(cluster), 'edsConfig', `eds-${at}.json`);
  });
  write('cds.json', clusters.join());
  const source = (name: string) => ({ ...path(name), resourceApiVersion: 'V3' });
  return {
    node: { id: 'edge', cluster: 'edge' },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: adminPort } } },
    dynamicResources: { ldsConfig: source('lds.json'), cdsConfig: source('cds.json') },
  };
}
