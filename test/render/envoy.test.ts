import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import { plainOf, writeYaml } from '../../src/render/annotated.js';
import { countersignCluster } from '../../src/render/cluster.js';
import { envoyBootstrap } from '../../src/render/envoy.js';
import { httpFilter } from '../../src/render/ext-authz.js';
import type { Needs } from '../../src/render/needs.js';
import { needsFrom, rule } from './needs-from.js';

type Json = Record<string, unknown>;

function filter(needs: Needs, hasMcpFilter = false): Json {
  const rendered = plainOf(httpFilter(needs, { cluster: 'countersign', hasMcpFilter }));
  return (rendered as { typed_config: Json }).typed_config;
}

const board =
  'trust: { approvals: [{ name: board, issuer: "https://b.example", audiences: [a], algorithms: [ES256], jwks: { file: b.json }, header: approval-token }] }\n';
const issuer =
  'trust: { jwt: [{ name: corp, issuer: "https://i.example", audiences: [a], algorithms: [ES256], jwks: { file: i.json }, header: x-api.token }] }\n';

describe('the ext_authz filter that is rendered (row 138)', () => {
  it('fails closed, and has nothing that no rule needs', () => {
    expect(filter(needsFrom())).to.deep.include({
      transport_api_version: 'V3',
      failure_mode_allow: false,
      status_on_error: { code: 'ServiceUnavailable' },
      validate_mutations: true,
      encode_raw_headers: true,
      include_peer_certificate: true,
    });
    expect(filter(needsFrom())).to.not.have.any.keys(
      'with_request_body',
      'include_tls_session',
      'metadata_context_namespaces',
      'route_metadata_context_namespaces',
    );
  });

  const body = (bytes: number) => ({
    max_request_bytes: bytes,
    allow_partial_message: false,
    pack_as_bytes: true,
  });
  const rows: readonly {
    name: string;
    config?: string;
    rules?: readonly string[];
    key: string;
    want: unknown;
  }[] = [
    {
      name: 'a rule that reads the body',
      rules: [rule('a', 'when: request.body.n == 1.0')],
      key: 'with_request_body',
      want: body(1_048_576),
    },
    {
      name: 'a rule for MCP, with a limit',
      config: 'limits: { body: 16KiB }\n',
      rules: [rule('a', 'mcp: { tools: [x] }')],
      key: 'with_request_body',
      want: body(16_384),
    },
    {
      name: 'a shadow rule that reads the body',
      rules: [rule('a', 'mode: shadow, when: request.body.n == 1.0')],
      key: 'with_request_body',
      want: body(1_048_576),
    },
    {
      name: 'a condition on the server name',
      rules: [rule('a', 'when: tls.sni == "a.example"')],
      key: 'include_tls_session',
      want: true,
    },
    {
      name: 'a connection rule with a server name',
      rules: ['{ id: a, effect: permit, principals: [planner], tcp: { sni: [a.example] } }'],
      key: 'include_tls_session',
      want: true,
    },
    {
      name: 'namespaces by member and by index, sorted, once each',
      rules: [
        rule('a', `when: 'envoy.metadata["envoy.filters.http.jwt_authn"].jwt_payload.n == 1.0'`),
        rule('b', 'when: envoy.metadata.billing.n == 1.0 && envoy.metadata.billing.m == 1.0'),
      ],
      key: 'metadata_context_namespaces',
      want: ['billing', 'envoy.filters.http.jwt_authn'],
    },
    {
      name: 'namespaces of the route apart',
      rules: [rule('a', 'when: envoy.routeMetadata.countersign.tenant == "a"')],
      key: 'route_metadata_context_namespaces',
      want: ['countersign'],
    },
    {
      name: 'no namespace where it is computed',
      rules: [rule('a', `when: 'envoy.metadata[request.host].n == 1.0'`)],
      key: 'metadata_context_namespaces',
      want: undefined,
    },
    {
      name: 'no cookies',
      key: 'disallowed_headers',
      want: { patterns: [{ exact: 'cookie', ignore_case: true }] },
    },
    {
      name: 'cookies where a rule reads them',
      rules: [rule('a', `when: 'request.headers["cookie"] == "a=1"'`)],
      key: 'disallowed_headers',
      want: undefined,
    },
    {
      name: 'a header of approvals, which is removed',
      config: board,
      key: 'decoder_header_mutation_rules',
      want: {
        disallow_all: true,
        allow_expression: { regex: 'x-countersign-.*|approval-token' },
        disallow_is_error: true,
      },
    },
    {
      name: 'tokens stay where they are not removed',
      config: issuer,
      key: 'decoder_header_mutation_rules',
      want: {
        disallow_all: true,
        allow_expression: { regex: 'x-countersign-.*' },
        disallow_is_error: true,
      },
    },
    {
      name: 'headers of tokens under removeCredentials, as patterns of themselves alone',
      config: `${issuer}respond: { removeCredentials: true }\n`,
      key: 'decoder_header_mutation_rules',
      want: {
        disallow_all: true,
        allow_expression: { regex: 'x-countersign-.*|authorization|x-api\\.token' },
        disallow_is_error: true,
      },
    },
  ];
  for (const { name, config, rules, key, want } of rows) {
    it(`has what is needed: ${name}`, () => {
      expect(filter(needsFrom(config, rules))[key]).to.deep.equal(want);
    });
  }

  it("sends the MCP filter's word only where that filter stands before it", () => {
    const needs = needsFrom('', [rule('a', 'mcp: { tools: [x] }')]);
    expect(filter(needs)['metadata_context_namespaces']).to.equal(undefined);
    expect(filter(needs, true)['metadata_context_namespaces']).to.deep.equal([
      'envoy.filters.http.mcp',
    ]);
  });

  for (const [deadline, timeout] of [
    ['100ms', '1s'],
    ['2s', '4.5s'],
  ]) {
    it(`waits longer than a deadline of ${deadline}`, () => {
      const service = filter(needsFrom(`deadline: ${deadline}\n`))['grpc_service'] as Json;
      expect(service['timeout']).to.equal(timeout);
    });
  }
});

describe('the cluster that is rendered', () => {
  const cluster = (config: string) => {
    const options = { name: 'countersign', certificates: 'certs' };
    return plainOf(countersignCluster(needsFrom(config), options)) as Json;
  };
  const target = (config: string) => JSON.stringify(cluster(config)['load_assignment']);

  const rows: readonly { listen: string; type: string; want: string }[] = [
    { listen: '127.0.0.1:9191', type: 'STATIC', want: '"address":"127.0.0.1","port_value":9191' },
    { listen: '"0.0.0.0:9191"', type: 'STATIC', want: '"address":"127.0.0.1","port_value":9191' },
    { listen: '"[::]:9191"', type: 'STATIC', want: '"address":"::1","port_value":9191' },
    { listen: 'localhost:9191', type: 'STRICT_DNS', want: '"address":"localhost"' },
    { listen: 'unix:///run/a/b.sock', type: 'STATIC', want: '"pipe":{"path":"/run/a/b.sock"}' },
  ];
  for (const { listen, type, want } of rows) {
    it(`reaches what listens on ${listen}`, () => {
      const config = `insecure: true\nlisten: ${listen}\n`;
      expect(cluster(config)['type']).to.equal(type);
      expect(target(config)).to.include(want);
    });
  }

  it('lets Countersign refuse before Envoy does, and retries under load', () => {
    expect(cluster('limits: { inFlight: 8000 }\n')['circuit_breakers']).to.deep.equal({
      thresholds: [
        {
          max_connections: 1024,
          max_pending_requests: 8000,
          max_requests: 9024,
          max_retries: 1024,
        },
      ],
    });
  });

  it('has TLS only where Countersign has, and shows a certificate only where it asks', () => {
    const tls = 'tls: { certificate: c.pem, key: c.key';
    expect(cluster('')['transport_socket']).to.equal(undefined);
    expect(JSON.stringify(cluster(`${tls} }\n`))).to.include('"exact":"127.0.0.1"');
    expect(JSON.stringify(cluster(`${tls} }\n`))).to.not.include('private_key');
    expect(JSON.stringify(cluster(`${tls}, clientCa: ca.pem }\n`))).to.include('private_key');
  });
});

describe('the bootstrap that is rendered (row 139)', () => {
  const options = {
    listener: { kind: 'tcp', host: '127.0.0.1', port: 10_443 },
    app: { kind: 'tcp', host: 'app.example', port: 80 },
    downstream: 'mtls',
    certificates: 'certs',
    sds: undefined,
    hasMcpFilter: false,
  } as const;
  const manager = (config: string, more: object = {}): Json => {
    const rendered = plainOf(envoyBootstrap(needsFrom(config), { ...options, ...more }));
    const { static_resources: resources } = rendered as {
      static_resources: { listeners: { filter_chains: { filters: { typed_config: Json }[] }[] }[] };
    };
    return resources.listeners[0]?.filter_chains[0]?.filters[0]?.typed_config ?? {};
  };

  it('gives each path one spelling, and lets clients forge nothing', () => {
    expect(manager('')).to.deep.include({
      use_remote_address: true,
      xff_num_trusted_hops: 0,
      forward_client_cert_details: 'SANITIZE_SET',
      normalize_path: true,
      merge_slashes: true,
      path_with_escaped_slashes_action: 'REJECT_REQUEST',
      strip_any_host_port: true,
    });
    expect(manager('')['common_http_protocol_options']).to.deep.include({
      headers_with_underscores_action: 'REJECT_REQUEST',
    });
    expect(manager('')).to.not.have.property('skip_xff_append');
  });

  it('counts addresses as Countersign does behind trusted proxies', () => {
    expect(manager('trust: { clientAddress: { trustedHops: 2 } }\n')).to.deep.include({
      xff_num_trusted_hops: 2,
      skip_xff_append: true,
    });
  });

  it('keeps another proxy’s XFCC only where it is asked for and no certificate is', () => {
    const xfcc = 'trust: { spiffe: { peer: { xfcc: last } } }\n';
    const kept = { forward_client_cert_details: 'ALWAYS_FORWARD_ONLY' };
    expect(manager(xfcc, { downstream: 'plain' })).to.deep.include(kept);
    expect(manager(xfcc)).to.deep.include({ forward_client_cert_details: 'SANITIZE_SET' });
  });

  it('puts the MCP filter first, and only when it is wanted', () => {
    const names = (more: object) =>
      (manager('', more)['http_filters'] as { name: string }[]).map(({ name }) => name);
    const filters = ['envoy.filters.http.ext_authz', 'envoy.filters.http.router'];
    expect(names({})).to.deep.equal(filters);
    expect(names({ hasMcpFilter: true })).to.deep.equal(['envoy.filters.http.mcp', ...filters]);
  });
});

describe('YAML with reasons', () => {
  it('says the same as its plain form, with every reason as a comment', () => {
    const needs = needsFrom('', [rule('a', 'when: request.body.n == 1.0')]);
    const tree = httpFilter(needs, { cluster: 'c', hasMcpFilter: true });
    const text = writeYaml([tree]);
    expect(parse(text)).to.deep.equal(plainOf(tree));
    expect(text).to.match(
      /# The body, or the MCP message in it, is read by a\.\n *with_request_body:/,
    );
  });
});
