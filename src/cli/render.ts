import { dirname } from 'node:path';
import { type ListenAddress, parseListenAddress } from '../config/listen-address.js';
import { renderFindings } from '../document/render-findings.js';
import { readPolicies } from '../load/read-files.js';
import { plainOf, type Tree, writeYaml } from '../render/annotated.js';
import { countersignCluster } from '../render/cluster.js';
import type { Downstream } from '../render/downstream.js';
import { envoyBootstrap } from '../render/envoy.js';
import { envoyFilter } from '../render/envoy-filter.js';
import { httpFilter, networkFilter } from '../render/ext-authz.js';
import { type IstioOptions, istioMesh, istioObjects, providerName } from '../render/istio.js';
import { configMaps, deploymentPatch } from '../render/kubernetes.js';
import { type Needs, needsOf } from '../render/needs.js';
import { type Target, unmetNeeds } from '../render/unmet.js';
import { type Arguments, type Command, Misuse, text } from './command.js';
import { configFile, countOf, sourceOf } from './config-file.js';
import { filesOf } from './named-files.js';
import { podOptions } from './pod-options.js';
import { readConfig } from './read-config.js';

type Renderer = (needs: Needs, args: Arguments) => readonly Tree[];

const renderers: Readonly<Record<string, Renderer>> = {
  envoy: renderEnvoy,
  istio: renderIstio,
  envoyfilter: (needs, args) => [envoyFilter(needs, istioOptions(args))],
  kubernetes: renderKubernetes,
};

/** The options of each target, beside those of every command. */
const optionsOf: Readonly<Record<string, readonly string[]>> = {
  envoy: ['only', 'listener', 'app', 'downstream', 'certificates', 'sds', 'mcp-filter'],
  istio: ['only', 'namespace', 'selector', 'provider', 'waypoint', 'service'],
  envoyfilter: ['namespace', 'selector', 'provider'],
  kubernetes: ['namespace', 'name', 'image', 'configmap'],
};

/** `countersign render TARGET`: the configuration that fits these policies, each line explained. */
export const render: Command = {
  name: 'render',
  summary: 'the matching configuration for Envoy, Istio or a pod, derived from this one',
  operands: Object.keys(renderers).join('|'),
  options: {
    only: { type: 'string' },
    listener: { type: 'string' },
    app: { type: 'string' },
    downstream: { type: 'string' },
    certificates: { type: 'string' },
    sds: { type: 'string' },
    'mcp-filter': { type: 'boolean' },
    namespace: { type: 'string' },
    selector: { type: 'string' },
    provider: { type: 'string' },
    waypoint: { type: 'string' },
    service: { type: 'string' },
    name: { type: 'string' },
    image: { type: 'string' },
    configmap: { type: 'string' },
    json: { type: 'boolean' },
  },
  help: [
    '--json              the objects and the warnings as JSON',
    'envoy:',
    '--only PART         filter, network-filter or cluster in the place of a whole bootstrap',
    '--listener ADDRESS  where Envoy listens (127.0.0.1:10443)',
    '--app ADDRESS       the application (127.0.0.1:8080)',
    '--downstream KIND   mtls, tls or plain (mtls where trust domains are configured)',
    '--certificates DIR  server.pem, server.key, ca.pem (certs)',
    '--sds SOCKET        certificate and bundle from a SPIFFE agent: unix:///run/spire/agent.sock',
    "--mcp-filter        Envoy's MCP filter before this one",
    'istio, envoyfilter:',
    '--namespace NAME    of the objects (default)',
    '--selector LABELS   of the pods: app=orders,tier=web (app=app)',
    '--provider NAME     what policies call Countersign (countersign)',
    '--only PART         istio: mesh or objects',
    '--waypoint NAME     istio: the Gateway of a waypoint; needs --service',
    "--service ADDRESS   istio: a Service to ask in the place of each pod's sidecar",
    'kubernetes:',
    '--namespace NAME, --name DEPLOYMENT (app), --image IMAGE, --configmap NAME (countersign)',
  ],
  async run(args, io) {
    const [target = ''] = args.positionals;
    const renderer = Object.hasOwn(renderers, target) ? renderers[target] : undefined;
    if (renderer === undefined || args.positionals.length !== 1) {
      throw new Misuse(`what to render is one of ${Object.keys(renderers).join(', ')}`);
    }
    checkOptions(target, args);
    const file = configFile(args);
    const config = readConfig(args, io);
    if (config === undefined) return 1;
    const policies = readPolicies(config, file);
    if (!policies.ok) {
      io.err(renderFindings(policies.findings, sourceOf));
      return 1;
    }
    const needs = needsOf(config, policies.set);
    const kind = target === 'istio' && text(args, 'waypoint') !== undefined ? 'waypoint' : target;
    const findings = unmetNeeds(needs, kind as Target, file);
    io.err(renderFindings(findings, sourceOf));
    if (countOf(findings, 'error') > 0) return 1;
    const trees = renderer(needs, args);
    if (args.values['json'] === true) {
      io.out(`${JSON.stringify({ documents: trees.map(plainOf), findings }, null, 2)}\n`);
    } else io.out(writeYaml(trees));
    return 0;
  },
};

function checkOptions(target: string, { values }: Arguments): void {
  const known = ['config', 'help', 'json', ...(optionsOf[target] ?? [])];
  const stranger = Object.keys(values).find((name) => !known.includes(name));
  if (stranger !== undefined) throw new Misuse(`--${stranger} says nothing about ${target}`);
}

function renderEnvoy(needs: Needs, args: Arguments): readonly Tree[] {
  const certificates = text(args, 'certificates') ?? 'certs';
  const hasMcpFilter = args.values['mcp-filter'] === true;
  const filter = { cluster: 'countersign', hasMcpFilter };
  const only = choice(args, 'only', ['filter', 'network-filter', 'cluster']);
  if (only === 'filter') return [httpFilter(needs, filter)];
  if (only === 'network-filter') return [networkFilter(needs, filter)];
  if (only === 'cluster') return [countersignCluster(needs, { name: 'countersign', certificates })];
  const listener = address(args, 'listener', '127.0.0.1:10443');
  if (listener.kind === 'unix') throw new Misuse('--listener is host:port');
  const { trustDomains } = needs.config.trust.spiffe;
  const usual: Downstream = trustDomains.length > 0 ? 'mtls' : 'tls';
  const downstream = choice(args, 'downstream', ['mtls', 'tls', 'plain']) ?? usual;
  const app = address(args, 'app', '127.0.0.1:8080');
  const sds = socketPath(args);
  return [envoyBootstrap(needs, { listener, app, downstream, certificates, sds, hasMcpFilter })];
}

function socketPath(args: Arguments): string | undefined {
  const given = text(args, 'sds');
  const socket = given === undefined ? undefined : parseListenAddress(given);
  if (socket === undefined && given === undefined) return undefined;
  if (socket?.kind !== 'unix') throw new Misuse('--sds is unix:///path');
  return socket.path;
}

function renderIstio(needs: Needs, args: Arguments): readonly Tree[] {
  const options = istioOptions(args);
  const only = choice(args, 'only', ['mesh', 'objects']);
  if (only === 'mesh') return [istioMesh(needs, options)];
  const objects = istioObjects(needs, options);
  return only === 'objects' ? objects : [istioMesh(needs, options), ...objects];
}

function istioOptions(args: Arguments): IstioOptions {
  const provider = text(args, 'provider') ?? 'countersign';
  if (!providerName.test(provider)) {
    throw new Misuse('--provider has at most 63 of a-z, 0-9 and "-", which does not end it');
  }
  const waypoint = text(args, 'waypoint');
  const given = text(args, 'service');
  const service = given === undefined ? undefined : address(args, 'service', '');
  if (service?.kind === 'unix') throw new Misuse('--service is host:port');
  if (waypoint !== undefined && service === undefined) {
    throw new Misuse(
      'a waypoint has no sidecar of ours: name the Service with --service host:port',
    );
  }
  const selector = Object.fromEntries(
    (text(args, 'selector') ?? 'app=app').split(',').map((label) => {
      const [, key = '', value = ''] = /^([^=]+)=([^=]*)$/.exec(label) ?? [];
      if (key === '') throw new Misuse('--selector is label=value, several with commas');
      return [key, value];
    }),
  );
  return { namespace: text(args, 'namespace') ?? 'default', selector, provider, waypoint, service };
}

function renderKubernetes(needs: Needs, args: Arguments): readonly Tree[] {
  const folder = dirname(configFile(args));
  const files = filesOf(needs.config, configFile(args), folder);
  const options = {
    ...podOptions(needs.config, args, files),
    namespace: text(args, 'namespace') ?? 'default',
    deployment: text(args, 'name') ?? 'app',
  };
  return [...configMaps(files, options), deploymentPatch(options)];
}

function address(args: Arguments, name: string, usual: string): ListenAddress {
  const parsed = parseListenAddress(text(args, name) ?? usual);
  if (parsed === undefined) throw new Misuse(`--${name} is host:port, [v6]:port or unix:///path`);
  return parsed;
}

function choice<T extends string>(
  args: Arguments,
  name: string,
  allowed: readonly T[],
): T | undefined {
  const given = text(args, name);
  const found = allowed.find((one) => one === given);
  if (given !== undefined && found === undefined) {
    throw new Misuse(`--${name} is one of ${allowed.join(', ')}`);
  }
  return found;
}
