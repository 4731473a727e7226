import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse } from 'yaml';

const page = readFileSync('docs/restarts.md', 'utf8');
const quickstart = parse(readFileSync('envoy/quickstart.yaml', 'utf8')) as {
  static_resources: {
    listeners: { filter_chains: { filters: { typed_config: { http_filters: Filter[] } }[] }[] }[];
    clusters: { name: string; circuit_breakers?: { thresholds: { max_retries: number }[] } }[];
  };
};
interface Filter {
  name: string;
  typed_config: { grpc_service: { timeout: string; retry_policy: unknown } };
}

describe('docs/restarts.md', () => {
  it('names the settings that envoy/quickstart.yaml has, with which the restarts are tested', () => {
    const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    const { grpc_service, circuit_breakers } = parse(text);
    const { listeners, clusters } = quickstart.static_resources;
    const filter = listeners[0]?.filter_chains[0]?.filters[0]?.typed_config.http_filters.find(
      ({ name }) => name === 'envoy.filters.http.ext_authz',
    )?.typed_config.grpc_service;
    const cluster = clusters.find(({ name }) => name === 'countersign');
    expect(grpc_service).to.deep.equal({
      timeout: filter?.timeout,
      retry_policy: filter?.retry_policy,
    });
    expect(circuit_breakers.thresholds[0].max_retries).to.equal(
      cluster?.circuit_breakers?.thresholds[0]?.max_retries,
    );
  });
});
