import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import { findEnvoy } from '../envoy/find-envoy.js';
import { runEnvoy, withPorts } from '../envoy/run-envoy.js';
import { createWorkplace, reserve, type Workplace } from '../examples/quickstart/workplace.js';
import type { Target } from './connection.js';
import { openLoop } from './load.js';
import { startSidecar } from './servers.js';
import { quantile, summarize } from './statistics.js';
import type { Figure } from './table.js';

/** Arm 12: what the sidecar adds to a request through a real Envoy, over mTLS and a unix socket. */

const perSecond = 300;
const extAuthz = 'envoy.filters.http.ext_authz';
const rounds = 5;

interface Filter {
  readonly name: string;
  readonly typed_config?: { readonly grpc_service?: { timeout: string } };
}

/** The parts of a bootstrap that are changed here. */
interface Bootstrap {
  static_resources: {
    clusters: { connect_timeout: string }[];
    listeners: {
      name: string;
      filter_chains: { filters: { typed_config: { http_filters: Filter[] } }[] }[];
    }[];
  };
}

/**
 * The quick start's Envoy, its very file: as it is, or without the ext_authz filter. The application
 * is a listener of the same Envoy that answers at once, so both ways have the same one.
 */
function bootstrap(
  workplace: Workplace,
  [port, adminPort, app]: readonly [number, number, number],
  isAsked: boolean,
): string {
  const text = withPorts('quickstart.yaml', {
    ingress: port,
    admin: adminPort,
    app,
    countersign: workplace.path('authz.sock'),
  });
  const changed: Bootstrap = parse(text);
  const { listeners, clusters } = changed.static_resources;
  const filters = listeners.flatMap(({ filter_chains }) =>
    filter_chains.flatMap((it) => it.filters),
  );
  for (const { typed_config } of filters) {
    const [asking] = typed_config.http_filters.filter(({ name }) => name === extAuthz);
    // A stall of the machine has to be a slow answer and not a failed call.
    if (asking?.typed_config?.grpc_service) asking.typed_config.grpc_service.timeout = '20s';
    if (isAsked) continue;
    typed_config.http_filters = typed_config.http_filters.filter(({ name }) => name !== extAuthz);
  }
  for (const cluster of clusters) cluster.connect_timeout = '20s';
  listeners.push(parse(application(app)));
  return stringify(changed);
}

const application = (port: number) => `
name: app
address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
filter_chains:
  - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: app
          route_config:
            virtual_hosts:
              - name: app
                domains: ["*"]
                routes:
                  - match: { prefix: / }
                    direct_response: { status: 200, body: { inline_string: "hello" } }
          http_filters:
            - name: envoy.filters.http.router
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
`;

function target(workplace: Workplace, port: number, method: string): Target {
  const read = (path: string) => readFileSync(workplace.path(path));
  return {
    address: { port },
    tls: { ca: read('certs/ca.pem'), cert: read('certs/agent.pem'), key: read('certs/agent.key') },
    head: [
      [':method', method],
      [':scheme', 'https'],
      [':path', '/finance/reports/q3'],
      [':authority', '127.0.0.1'],
      ['user-agent', 'countersign-bench'],
    ],
    answers: 'http',
  };
}

interface Percentiles {
  readonly p50: number;
  readonly p99: number;
}

async function ask(
  to: Target,
  want: 'permit' | 'deny',
  seconds: number,
  rate = perSecond,
): Promise<Percentiles> {
  const questions = { list: [{ body: Buffer.alloc(0), stamps: [], want }], isOnce: false };
  const timed = await openLoop({
    target: to,
    questions,
    connections: 1,
    perSecond: rate,
    seconds,
    shares: 'core',
  });
  return {
    p50: quantile(timed.latenciesMs, 0.5),
    p99: quantile(timed.latenciesMs, 0.99),
  };
}

export async function endToEnd(
  seconds: number,
  tell: (text: string) => void,
): Promise<readonly Figure[]> {
  const envoy = await findEnvoy(tell);
  if (envoy.kind === 'none') {
    tell(`arm 12 is LEFT OUT: there is no Envoy: ${envoy.why}`);
    return [];
  }
  const workplace = await createWorkplace();
  const stops: (() => Promise<void>)[] = [async () => workplace.remove()];
  try {
    await workplace.addCaller('agent', 'spiffe://prod.example/ns/agents/sa/planner');
    const config: object = parse(readFileSync(workplace.configFile, 'utf8'));
    const changed = {
      ...config,
      listen: `unix://${workplace.path('authz.sock')}`,
      deadline: '10s',
      decisionLog: { to: 'decisions.log' },
    };
    workplace.write('countersign.yaml', stringify(changed));
    const sidecar = await startSidecar({
      configFile: workplace.configFile,
      adminPort: workplace.ports.admin,
    });
    stops.push(() => sidecar.stop());
    const [bare = 0, bareAdmin = 0, bareApp = 0] = await reserve(3);
    const { ingress, envoyAdmin, app } = workplace.ports;
    for (const { ports, isAsked } of [
      { ports: [bare, bareAdmin, bareApp], isAsked: false },
      { ports: [ingress, envoyAdmin, app], isAsked: true },
    ] as const) {
      const file = bootstrap(workplace, ports, isAsked);
      const [, adminPort] = ports;
      const running = await runEnvoy(envoy, workplace.folder, file, adminPort);
      stops.push(() => running.stop());
    }
    return await compare(
      target(workplace, bare, 'GET'),
      target(workplace, ingress, 'GET'),
      target(workplace, ingress, 'POST'),
      seconds,
    );
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function compare(
  without: Target,
  withSidecar: Target,
  denied: Target,
  seconds: number,
): Promise<readonly Figure[]> {
  // Proof that it is asked at all, and the warm-up of both, slowly first.
  await ask(denied, 'deny', 2, 10);
  await ask(withSidecar, 'permit', 2);
  await ask(without, 'permit', 2);
  const measured: { without: Percentiles; with: Percentiles }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    measured.push({
      without: await ask(without, 'permit', seconds),
      with: await ask(withSidecar, 'permit', seconds),
    });
  }
  return (['p50', 'p99'] as const).map((part) => {
    const { median, least, most } = summarize(
      measured.map((it) => it.with[part] - it.without[part]),
    );
    const bare = summarize(measured.map((it) => it.without[part])).median;
    return {
      name: `12: added by Countersign behind Envoy, ${part}`,
      value: median,
      unit: 'ms',
      spread: [least, most] as const,
      note: `${perSecond}/s, open loop, mTLS and HTTP/2; ${bare.toFixed(2)} ms without ext_authz`,
    };
  });
}
