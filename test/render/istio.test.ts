import { expect } from 'chai';
import { describe, it } from 'mocha';
import { plainOf } from '../../src/render/annotated.js';
import { envoyFilter } from '../../src/render/envoy-filter.js';
import { type IstioOptions, istioMesh, istioObjects } from '../../src/render/istio.js';
import { readIstioFiles } from '../../src/render/istio-files.js';
import { lintIstio } from '../../src/render/lint-istio.js';
import type { Needs } from '../../src/render/needs.js';
import { type Target, unmetNeeds } from '../../src/render/unmet.js';
import { needsFrom, rule } from './needs-from.js';

const options: IstioOptions = {
  namespace: 'shop',
  selector: { app: 'orders' },
  provider: 'countersign',
  waypoint: undefined,
  service: undefined,
};
const reader = rule('a', 'when: request.body.n == 1.0');

interface Mesh {
  extensionProviders: { name: string; envoyExtAuthzGrpc: Record<string, unknown> }[];
}
const mesh = (needs: Needs, more: Partial<IstioOptions> = {}) =>
  (plainOf(istioMesh(needs, { ...options, ...more })) as Mesh).extensionProviders[0];
const objects = (more: Partial<IstioOptions> = {}) =>
  istioObjects(needsFrom(), { ...options, ...more }).map(plainOf) as {
    kind: string;
    metadata: object;
    spec: Record<string, unknown>;
  }[];

describe('the extension provider that is rendered (row 140)', () => {
  it('fails closed, with a timeout, and sends a body only where a rule reads one', () => {
    expect(mesh(needsFrom())).to.deep.equal({
      name: 'countersign',
      envoyExtAuthzGrpc: {
        service: 'shop/countersign.shop.internal',
        port: 9190,
        timeout: '1s',
        failOpen: false,
        statusOnError: '503',
      },
    });
    expect(
      mesh(needsFrom('', [reader]))?.envoyExtAuthzGrpc['includeRequestBodyInCheck'],
    ).to.deep.equal({ maxRequestBytes: 1_048_576, allowPartialMessage: false, packAsBytes: true });
  });

  it('asks about everything', () => {
    const [policy] = objects();
    expect(policy).to.deep.include({
      kind: 'AuthorizationPolicy',
      metadata: { name: 'countersign', namespace: 'shop' },
    });
    expect(policy?.spec).to.deep.equal({
      selector: { matchLabels: { app: 'orders' } },
      action: 'CUSTOM',
      provider: { name: 'countersign' },
      rules: [{}],
    });
  });

  it("reaches each pod's own loopback, from this namespace alone", () => {
    expect(objects()[1]?.spec).to.deep.equal({
      hosts: ['countersign.shop.internal'],
      exportTo: ['.'],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      ports: [{ number: 9190, name: 'grpc', protocol: 'GRPC' }],
      endpoints: [{ address: '127.0.0.1', ports: { grpc: 9191 } }],
    });
  });

  it('asks a Service for a waypoint', () => {
    const more = { waypoint: 'edge', service: { host: 'cs.shop.svc.cluster.local', port: 9191 } };
    expect(mesh(needsFrom(), more)?.envoyExtAuthzGrpc['service']).to.equal(
      'cs.shop.svc.cluster.local',
    );
    expect(objects(more).map(({ kind }) => kind)).to.deep.equal(['AuthorizationPolicy']);
    expect(objects(more)[0]?.spec).to.have.deep.property('targetRefs', [
      { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' },
    ]);
  });

  it('is found sound by validate --istio', () => {
    const needs = needsFrom('', [reader]);
    const text = [istioMesh(needs, options), ...istioObjects(needs, options)]
      .map((tree) => JSON.stringify(plainOf(tree)))
      .join('\n---\n');
    const files = readIstioFiles([{ file: 'istio.yaml', text }]);
    expect([files.providers.length, files.policies.length]).to.deep.equal([1, 1]);
    expect(lintIstio(needs, files)).to.deep.equal([]);
  });
});

describe('the EnvoyFilter that is rendered', () => {
  it('adds the cluster it asks, and filters for requests and for connections', () => {
    const socket = needsFrom('listen: unix:///run/countersign/authz.sock\n');
    const { spec } = plainOf(envoyFilter(socket, options)) as {
      spec: { configPatches: { applyTo: string; patch: { operation: string; value: object } }[] };
    };
    const [cluster, filter, connections] = spec.configPatches;
    expect([cluster?.applyTo, cluster?.patch.operation]).to.deep.equal(['CLUSTER', 'ADD']);
    expect([filter?.applyTo, filter?.patch.operation]).to.deep.equal([
      'HTTP_FILTER',
      'INSERT_BEFORE',
    ]);
    expect(JSON.stringify(cluster)).to.include('"pipe":{"path":"/run/countersign/authz.sock"}');
    expect(JSON.stringify(cluster)).to.include('"name":"countersign-local"');
    expect(JSON.stringify(filter)).to.include('"cluster_name":"countersign-local"');
    expect(connections?.applyTo).to.equal('NETWORK_FILTER');
    expect(JSON.stringify(connections)).to.include('"failure_mode_allow":false');
  });
});

describe('what a target cannot carry (row 141)', () => {
  const jwt = rule('a', `when: 'envoy.metadata["envoy.filters.http.jwt_authn"].n == 1.0'`);
  const computed = rule('a', `when: 'envoy.metadata[request.host].n == 1.0'`);
  const route = rule('a', 'when: envoy.routeMetadata.x.n == 1.0');
  const extension = rule('a', 'when: envoy.contextExtensions.tier == "gold"');
  const bound = rule('a', 'require: { proof: mtls-bound }');
  const sni = rule('a', 'when: tls.sni == "a.example"');
  const tcp = '{ id: a, effect: permit, principals: [planner], tcp: { ports: [5432] } }';
  const required = 'trust: { spiffe: { peer: { certificate: required } } }\n';
  const xfcc = 'trust: { spiffe: { peer: { xfcc: last } } }\n';
  const tls = 'tls: { certificate: c.pem, key: k.pem }\n';
  const socket = 'listen: unix:///run/countersign/authz.sock\n';

  const rows: readonly {
    name: string;
    target: Target;
    config?: string;
    rules?: readonly string[];
    want: readonly string[];
  }[] = [
    { name: 'nothing asked', target: 'istio', want: [] },
    { name: 'JWT metadata', target: 'istio', rules: [jwt], want: ['istio_metadata'] },
    { name: 'JWT metadata', target: 'envoyfilter', rules: [jwt], want: [] },
    { name: 'route metadata', target: 'istio', rules: [route], want: ['istio_metadata'] },
    { name: 'a namespace', target: 'envoy', rules: [computed], want: ['computed_namespace'] },
    { name: 'extensions', target: 'envoy', rules: [extension], want: ['context_extensions'] },
    { name: 'extensions', target: 'istio', rules: [extension], want: ['context_extensions'] },
    { name: 'a bound token', target: 'istio', rules: [bound], want: ['istio_certificate'] },
    { name: 'a certificate', target: 'istio', config: required, want: ['istio_certificate'] },
    { name: 'a certificate', target: 'envoyfilter', config: required, want: [] },
    { name: 'a server name', target: 'istio', rules: [sni], want: ['istio_server_name'] },
    { name: 'a socket', target: 'istio', config: socket, want: ['istio_socket'] },
    { name: 'a socket', target: 'envoyfilter', config: socket, want: [] },
    { name: 'TLS', target: 'istio', config: tls, want: ['istio_tls'] },
    { name: 'a peer', target: 'waypoint', want: ['waypoint_peer'] },
    { name: 'a peer by XFCC', target: 'waypoint', config: xfcc, want: [] },
    { name: 'connections', target: 'envoy', rules: [tcp], want: ['connection_rules'] },
    { name: 'connections', target: 'envoyfilter', rules: [tcp], want: [] },
    { name: 'connections', target: 'istio', rules: [tcp], want: [] },
    { name: 'probes', target: 'kubernetes', want: ['admin_loopback'] },
    { name: 'probes', target: 'kubernetes', config: 'admin: "0.0.0.0:9192"\n', want: [] },
    {
      name: 'the key of TLS',
      target: 'kubernetes',
      config: `admin: "0.0.0.0:9192"\n${tls}`,
      want: ['secret_key'],
    },
  ];
  for (const { name, target, config, rules, want } of rows) {
    it(`is said of ${name} and ${target}: ${want.join() || 'nothing'}`, () => {
      const findings = unmetNeeds(needsFrom(config, rules), target, 'countersign.yaml');
      expect(findings.map(({ code }) => code)).to.deep.equal(want);
    });
  }

  it('is an error only for the socket, without which nothing is asked', () => {
    const [finding] = unmetNeeds(needsFrom(socket), 'istio', 'countersign.yaml');
    expect(finding?.severity).to.equal('error');
  });
});

describe("an operator's own Istio files (row 141)", () => {
  const provider = (more: object = {}, name = 'countersign') => ({
    name,
    envoyExtAuthzGrpc: { service: 'shop/cs.internal', port: 9191, timeout: '1s', ...more },
  });
  const meshOf = (...extensionProviders: readonly object[]) => ({ extensionProviders });
  const body = (more: object = {}) => ({
    includeRequestBodyInCheck: { maxRequestBytes: 1_048_576, packAsBytes: true, ...more },
  });
  const policy = (name = 'countersign', rules: readonly object[] = [{}]) => ({
    kind: 'AuthorizationPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { action: 'CUSTOM', provider: { name }, rules },
  });
  const sidecar = (...egress: readonly object[]) => ({
    kind: 'Sidecar',
    metadata: { name: 's', namespace: 'shop' },
    spec: { egress },
  });

  const rows: readonly {
    name: string;
    rules?: readonly string[];
    files: readonly object[];
    want: readonly string[];
  }[] = [
    { name: 'sound ones', files: [meshOf(provider()), policy()], want: [] },
    {
      name: 'no timeout',
      files: [meshOf(provider({ timeout: undefined }))],
      want: ['provider_timeout'],
    },
    {
      name: 'a long timeout',
      files: [meshOf(provider({ timeout: '60s' }))],
      want: ['provider_timeout'],
    },
    {
      name: 'a short timeout',
      files: [meshOf(provider({ timeout: '0.05s' }))],
      want: ['provider_timeout'],
    },
    {
      name: 'failOpen',
      files: [meshOf(provider({ failOpen: true }))],
      want: ['provider_fail_open'],
    },
    {
      name: 'a name that is refused',
      files: [meshOf(provider({}, 'Counter_sign'))],
      want: ['provider_name'],
    },
    {
      name: 'names that are prefixes',
      files: [meshOf(provider(), provider({}, 'countersign-next'))],
      want: ['provider_prefix'],
    },
    {
      name: 'a name twice',
      files: [meshOf(provider(), provider())],
      want: ['provider_name', 'provider_name'],
    },
    {
      name: 'an unknown provider',
      files: [meshOf(provider()), policy('countersing')],
      want: ['provider_unknown'],
    },
    { name: 'a policy alone', files: [policy('elsewhere')], want: [] },
    {
      name: 'rules that leave something out',
      files: [meshOf(provider()), policy('countersign', [{ to: [] }])],
      want: ['scope_narrow'],
    },
    {
      name: 'no body for a rule',
      rules: [reader],
      files: [meshOf(provider())],
      want: ['provider_body'],
    },
    { name: 'a body', rules: [reader], files: [meshOf(provider(body()))], want: [] },
    {
      name: 'a body of another size',
      rules: [reader],
      files: [meshOf(provider(body({ maxRequestBytes: 8192 })))],
      want: ['provider_body'],
    },
    {
      name: 'a body in part',
      rules: [reader],
      files: [meshOf(provider(body({ allowPartialMessage: true })))],
      want: ['provider_body'],
    },
    {
      name: 'a body as text',
      rules: [reader],
      files: [meshOf(provider(body({ packAsBytes: false })))],
      want: ['provider_body'],
    },
    {
      name: 'a Sidecar that hides it',
      files: [meshOf(provider()), policy(), sidecar({ hosts: ['istio-system/*'] })],
      want: ['sidecar_hides'],
    },
    {
      name: 'a Sidecar that imports it for another port alone',
      files: [meshOf(provider()), policy(), sidecar({ hosts: ['./*'], port: { number: 80 } })],
      want: ['sidecar_hides'],
    },
    {
      name: 'a Sidecar that imports its namespace',
      files: [meshOf(provider()), policy(), sidecar({ hosts: ['./*'] })],
      want: [],
    },
    {
      name: 'a Sidecar that imports its host from anywhere',
      files: [meshOf(provider()), policy(), sidecar({ hosts: ['*/*.internal'] })],
      want: [],
    },
    {
      name: 'an IstioOperator',
      files: [
        { kind: 'IstioOperator', spec: { meshConfig: meshOf(provider({ failOpen: true })) } },
      ],
      want: ['provider_fail_open'],
    },
    {
      name: "the mesh's ConfigMap",
      files: [
        { kind: 'ConfigMap', data: { mesh: JSON.stringify(meshOf(provider({ failOpen: true }))) } },
      ],
      want: ['provider_fail_open'],
    },
    {
      name: 'a provider over HTTP',
      files: [meshOf({ name: 'opa', envoyExtAuthzHttp: {} })],
      want: [],
    },
    { name: 'other objects', files: [{ kind: 'Service', spec: {} }], want: [] },
  ];
  for (const { name, rules, files, want } of rows) {
    it(`are warned of: ${name}`, () => {
      const text = files.map((file) => JSON.stringify(file, null, 2)).join('\n---\n');
      const read = readIstioFiles([{ file: 'istio.yaml', text }]);
      const findings = lintIstio(needsFrom('', rules), read);
      expect(findings.map(({ code }) => code)).to.deep.equal(want);
    });
  }

  it('have each warning at its line', () => {
    const text = `${JSON.stringify(policy())}\n---\nextensionProviders:\n- name: countersign\n  envoyExtAuthzGrpc:\n    service: a\n    port: 1\n    timeout: 1s\n    failOpen: true\n`;
    const [finding] = lintIstio(needsFrom(), readIstioFiles([{ file: 'm.yaml', text }]));
    expect([finding?.line, finding?.column]).to.deep.equal([9, 15]);
  });

  it('that are no YAML are an error', () => {
    const files = readIstioFiles([{ file: 'm.yaml', text: 'a: [1\n' }]);
    expect(lintIstio(needsFrom(), files).map(({ severity }) => severity)).to.deep.equal(['error']);
  });
});
