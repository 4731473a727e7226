import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import {
  Client,
  credentials,
  Server as GrpcServer,
  Metadata,
  ServerCredentials,
  status,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { createStage, type Edit, type Stage } from './stage.js';

const policy = `version: 1
policy: protocols
principals:
  payments: { spiffe: "spiffe://prod.example/ns/payments/sa/*" }
rules:
  - { id: orders, effect: permit, principals: [payments], grpc: [shop.Orders/Get] }
  - { id: late, effect: permit, principals: [payments], grpc: [shop.Late/*], require: { posture: { status: [active], maxAge: 1ms } } }
  - { id: live, effect: permit, principals: [payments], methods: [GET], paths: [/live], upgrade: [websocket] }
  - { id: page, effect: permit, principals: [payments], methods: [GET], paths: [/page] }
`;

/** Adds to the quick start's Envoy what these protocols need: upgrades, and a gRPC application. */
function edited(socketPort: number, grpcPort: number): NonNullable<Edit> {
  return (bootstrap) => {
    const [listener] = bootstrap.static_resources.listeners as unknown as {
      filter_chains: { filters: { typed_config: Record<string, unknown> }[] }[];
    }[];
    const manager = listener?.filter_chains[0]?.filters[0]?.typed_config;
    if (manager === undefined) throw new Error('there is no connection manager');
    manager['upgrade_configs'] = [{ upgrade_type: 'websocket' }];
    manager['http2_protocol_options'] = { allow_connect: true };
    const { virtual_hosts } = manager['route_config'] as { virtual_hosts: { routes: unknown[] }[] };
    virtual_hosts[0]?.routes.unshift(
      { match: { prefix: '/shop.' }, route: { cluster: 'grpc' } },
      { match: { prefix: '/live' }, route: { cluster: 'sockets' } },
      { match: { prefix: '/page' }, route: { cluster: 'sockets' } },
    );
    const cluster = (name: string, port_value: number, options: object) => ({
      name,
      type: 'STATIC',
      connect_timeout: '1s',
      load_assignment: {
        cluster_name: name,
        endpoints: [
          {
            lb_endpoints: [
              { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value } } } },
            ],
          },
        ],
      },
      ...options,
    });
    const type =
      'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions' as const;
    const http2 = {
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': type,
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
    };
    bootstrap.static_resources.clusters.push(
      cluster('sockets', socketPort, {}),
      cluster('grpc', grpcPort, http2),
    );
  };
}

/** An application that agrees to every upgrade, and sends back what it gets. */
function startSockets(): Promise<Server> {
  const server = createServer((_, response) => response.end('plain'));
  server.on('upgrade', (_, socket) => {
    socket.on('error', () => {});
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n',
    );
    socket.pipe(socket);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

const bytes = (value: Buffer) => value;

/** A gRPC application that answers every call of two services with the bytes it got. */
async function startGrpc(): Promise<{ server: GrpcServer; port: number }> {
  const server = new GrpcServer();
  const method = (path: string) => ({
    path,
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  });
  for (const service of ['Orders', 'Late']) {
    const own = { Get: method(`/shop.${service}/Get`), Drop: method(`/shop.${service}/Drop`) };
    const echo = (call: { request: Buffer }, answer: (error: null, value: Buffer) => void) =>
      answer(null, call.request);
    server.addService(own, { Get: echo, Drop: echo });
  }
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { server, port };
}

(withoutEnvoy ? describe.skip : describe)('gRPC and WebSocket through a real Envoy', function () {
  this.timeout(60_000);
  let stage: Stage;
  let sockets: Server;
  let grpc: GrpcServer;
  before(async () => {
    sockets = await startSockets();
    const started = await startGrpc();
    grpc = started.server;
    const address = sockets.address();
    const socketPort = typeof address === 'object' ? (address?.port ?? 0) : 0;
    stage = await createStage({
      edit: edited(socketPort, started.port),
      prepare: async (workplace) => {
        workplace.write('policies/protocols.yaml', policy);
        await workplace.addCaller('payments', 'spiffe://prod.example/ns/payments/sa/bot');
        await workplace.addCaller('reports', 'spiffe://prod.example/ns/reports/sa/nightly');
      },
    });
  });
  after(async () => {
    await stage?.close();
    grpc?.forceShutdown();
    sockets?.closeAllConnections();
    sockets?.close();
  });

  const read = (path: string) => readFileSync(stage.workplace.path(path));
  const files = (as: string | undefined) =>
    as === undefined ? {} : { cert: read(`certs/${as}.pem`), key: read(`certs/${as}.key`) };

  const call = (path: string, as: string | undefined, metadata: Record<string, string> = {}) => {
    const { cert, key } = files(as);
    const tls = credentials.createSsl(read('certs/ca.pem'), key ?? null, cert ?? null);
    const client = new Client(`127.0.0.1:${stage.workplace.ports.ingress}`, tls);
    const headers = new Metadata();
    for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
    return new Promise<string>((resolve) => {
      const deadline = Date.now() + 10_000;
      const done = (error: { code: number; details: string } | null, value?: Buffer) => {
        client.close();
        resolve(error === null ? String(value) : `${status[error.code]} ${error.details}`);
      };
      client.makeUnaryRequest(path, bytes, bytes, Buffer.from('echo'), headers, { deadline }, done);
    });
  };

  const calls = [
    { name: 'a call of the rule', path: '/shop.Orders/Get', as: 'payments', want: /^echo$/ },
    {
      name: 'nobody',
      path: '/shop.Orders/Get',
      as: undefined,
      want: /^UNAUTHENTICATED .*credential_missing/,
    },
    {
      name: 'a bad token',
      path: '/shop.Orders/Get',
      as: 'payments',
      metadata: { authorization: 'Bearer x.y.z' },
      want: /^UNAUTHENTICATED .*credential_malformed/,
    },
    {
      name: 'somebody else',
      path: '/shop.Orders/Get',
      as: 'reports',
      want: /^PERMISSION_DENIED .*principal_not_allowed/,
    },
    {
      name: 'another method',
      path: '/shop.Orders/Drop',
      as: 'payments',
      want: /^PERMISSION_DENIED .*no_rule/,
    },
    {
      name: 'a request that cannot be read, which is no fault of the server',
      path: '/shop.Orders/Get;x=1',
      as: 'payments',
      want: /^PERMISSION_DENIED .*path_ambiguous/,
    },
    {
      name: 'a posture that is too old',
      path: '/shop.Late/Get',
      as: 'payments',
      want: /^PERMISSION_DENIED .*posture_/,
    },
  ];
  for (const { name, path, as, metadata, want } of calls) {
    it(`gRPC: ${name}: ${want.source}`, async () => {
      expect(await call(path, as, metadata)).to.match(want);
    });
  }

  /** 101 with what came back, or the status of the refusal. */
  function upgrade(path: string, as: string, protocol: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        host: '127.0.0.1',
        port: stage.workplace.ports.ingress,
        path,
        headers: { connection: 'Upgrade', upgrade: protocol, 'sec-websocket-version': '13' },
        ca: read('certs/ca.pem'),
        agent: false,
        ...files(as),
      });
      request.once('upgrade', (response, socket) => {
        socket.once('data', (chunk) => {
          socket.destroy();
          resolve(`${response.statusCode} ${String(chunk)}`);
        });
        socket.write('ping');
      });
      request.once('response', (response) => {
        response.resume();
        resolve(String(response.statusCode));
      });
      request.once('error', reject);
      request.end();
    });
  }

  const upgrades = [
    { name: 'an upgrade of the rule', path: '/live', as: 'payments', want: '101 ping' },
    { name: 'an upgrade by somebody else', path: '/live', as: 'reports', want: '403' },
    { name: 'an upgrade where the rule names none', path: '/page', as: 'payments', want: '403' },
  ];
  for (const { name, path, as, want } of upgrades) {
    it(`WebSocket over HTTP/1.1: ${name}: ${want}`, async () => {
      expect(await upgrade(path, as, 'websocket')).to.equal(want);
    });
  }

  /** RFC 8441: an upgrade as an extended CONNECT. */
  function connectOver(path: string, as: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const session = connect(`https://127.0.0.1:${stage.workplace.ports.ingress}`, {
        ca: read('certs/ca.pem'),
        ...files(as),
      });
      session.once('error', reject);
      session.once('remoteSettings', () => {
        const stream = session.request(
          { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, ':authority': 'a' },
          { endStream: false },
        );
        stream.once('error', reject);
        stream.once('response', (headers) => {
          const code = String(headers[':status']);
          const finish = (text: string) => {
            session.destroy();
            resolve(text);
          };
          if (code !== '200') return finish(code);
          stream.once('data', (chunk) => finish(`${code} ${String(chunk)}`));
          stream.write('ping');
        });
      });
    });
  }

  for (const { name, path, as, want } of upgrades) {
    const wanted = want.replace('101', '200');
    it(`WebSocket over HTTP/2: ${name}: ${wanted}`, async () => {
      expect(await connectOver(path, as)).to.equal(wanted);
    });
  }

  it('a plain request to the rule of an upgrade is denied', async () => {
    expect(await upgrade('/live', 'payments', '')).to.equal('403');
  });
});
