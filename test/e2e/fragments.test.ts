import { connect } from 'node:net';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { parse, stringify } from 'yaml';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { refusalOf, runEnvoy } from '../../envoy/run-envoy.js';
import { type Sidecar, startSidecar } from '../../examples/quickstart/sidecar.js';
import { startUpstream, type Upstream } from '../../examples/quickstart/upstream.js';
import { createWorkplace, reserve, type Workplace } from '../../examples/quickstart/workplace.js';
import { run } from '../../src/cli/run.js';
import { realEnvoy } from './stage.js';

/** What `render envoy` prints with these options, parsed. */
async function part(config: string, ...argv: readonly string[]): Promise<object> {
  let out = '';
  const io = { out: (text: string) => (out += text), err: () => {} };
  expect(await run(['render', 'envoy', '-c', config, ...argv], io)).to.equal(0);
  return parse(out);
}

const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const endpoint = (port: number) => ({ endpoint: { address: socket(port) } });

/** A TCP proxy of somebody's own, with the rendered network filter and cluster put in. */
async function tcpBootstrap(workplace: Workplace, closed: number): Promise<string> {
  const { configFile, ports } = workplace;
  const filter = await part(configFile, '--only', 'network-filter');
  const cluster = await part(configFile, '--only', 'cluster');
  const proxy = {
    name: 'envoy.filters.network.tcp_proxy',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
      stat_prefix: 'app',
      cluster: 'app',
    },
  };
  const listener = (name: string, port: number) => ({
    name,
    address: socket(port),
    filter_chains: [{ filters: [filter, proxy] }],
  });
  const app = {
    name: 'app',
    type: 'STATIC',
    load_assignment: {
      cluster_name: 'app',
      endpoints: [{ lb_endpoints: [endpoint(ports.app)] }],
    },
  };
  return stringify({
    admin: { address: socket(ports.envoyAdmin) },
    static_resources: {
      listeners: [listener('open', ports.ingress), listener('closed', closed)],
      clusters: [app, cluster],
    },
  });
}

/** What comes back over a connection until it is closed. */
function exchange(port: number): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const client = connect(port, '127.0.0.1', () => {
      client.write('GET /line HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    });
    client.on('data', (chunk) => {
      received += String(chunk);
    });
    client.on('error', () => {});
    client.once('close', () => resolve(received));
  });
}

const policy = (port: number) => `version: 1
policy: connections
rules:
  - { id: line, effect: permit, principals: [anyone], tcp: { ports: [${port}] } }
  - { id: bodies, effect: permit, principals: [anyone], paths: [/b], when: request.body.n == 1.0 }
  - { id: names, effect: permit, principals: [anyone], paths: [/n], when: tls.sni == "a.example" }
  - { id: facts, effect: permit, principals: [anyone], paths: [/f], when: envoy.metadata.a.b == 1.0 && envoy.routeMetadata.c.d == 1.0 }
`;

(withoutEnvoy ? describe.skip : describe)('parts of a configuration', () => {
  let workplace: Workplace;
  let sidecar: Sidecar;
  let upstream: Upstream;
  before(async function () {
    this.timeout(60_000);
    workplace = await createWorkplace();
    const { ports } = workplace;
    workplace.write('policies/connections.yaml', policy(ports.ingress));
    workplace.write(
      'countersign.yaml',
      `version: 1\nlisten: 127.0.0.1:${ports.countersign}\nadmin: 127.0.0.1:${ports.admin}\ndeadline: 800ms\npolicies: [policies/connections.yaml]\n`,
    );
    upstream = await startUpstream(ports.app);
    sidecar = await startSidecar(workplace.configFile, ports.admin);
  });
  after(async () => {
    await sidecar.stop('SIGKILL');
    await upstream.stop();
    workplace.remove();
  });

  it('have connections decided in a TCP proxy of somebody else', async () => {
    const { folder, ports } = workplace;
    const [closed = 0] = await reserve(1);
    const bootstrap = await tcpBootstrap(workplace, closed);
    const envoy = await runEnvoy(await realEnvoy(), folder, bootstrap, ports.envoyAdmin);
    try {
      expect(await exchange(ports.ingress)).to.include('200 OK');
      expect(await exchange(closed)).to.equal('');
      expect(upstream.arrivals.length).to.equal(1);
    } finally {
      await envoy.stop();
    }
  });

  it('load with everything that a rule can need', async () => {
    const options = ['--downstream', 'plain'];
    const bootstrap = await part(workplace.configFile, ...options);
    expect(JSON.stringify(bootstrap)).to.match(
      /with_request_body.*metadata_context_namespaces.*route_metadata_context_namespaces/,
    );
    const envoy = await realEnvoy();
    expect(await refusalOf(envoy, workplace.folder, stringify(bootstrap))).to.equal('');
  });
});
