import type { Finding } from '../document/finding.js';
import type { Rule } from '../policy/policy-set.js';
import { type Needs, nameRules } from './needs.js';

export type Target = 'envoy' | 'istio' | 'waypoint' | 'envoyfilter' | 'kubernetes';

/** Codes of what a target cannot carry; docs/lint.md explains each. */
export const unmetCodes = [
  'admin_loopback',
  'computed_namespace',
  'connection_rules',
  'context_extensions',
  'istio_certificate',
  'istio_metadata',
  'istio_server_name',
  'istio_socket',
  'istio_tls',
  'secret_key',
  'waypoint_peer',
] as const;

type UnmetCode = (typeof unmetCodes)[number];

/** What the policies need and the target's configuration cannot say. An error where nothing would work. */
export function unmetNeeds(needs: Needs, target: Target, configFile: string): readonly Finding[] {
  if (target === 'kubernetes') return podFindings(needs, configFile);
  const isIstio = target === 'istio' || target === 'waypoint';
  const extensions = isIstio
    ? 'the extension provider sends no context_extensions: they are empty'
    : 'context_extensions come from typed_per_filter_config of your routes, which is not made here';
  return [
    ...atRules('context_extensions', needs.extensions, extensions),
    ...(isIstio ? istioFindings(needs, configFile) : []),
    ...(isIstio ? [] : proxyFindings(needs)),
    ...(target === 'envoy' ? connectionFindings(needs) : []),
    ...(target === 'waypoint' ? waypointFindings(needs) : []),
  ];
}

function proxyFindings({ metadata, routeMetadata }: Needs): readonly Finding[] {
  const computed = [...(metadata.get('*') ?? []), ...(routeMetadata.get('*') ?? [])];
  const message = 'the namespace of the metadata is computed: add it to the filter by hand';
  return atRules('computed_namespace', [...new Set(computed)], message);
}

function connectionFindings({ connections }: Needs): readonly Finding[] {
  const message =
    'connections are asked about by the network filter, in front of a tcp_proxy of yours: --only network-filter';
  return atRules('connection_rules', connections, message);
}

function istioFindings(needs: Needs, file: string): readonly Finding[] {
  const { listen, config, bound, serverNames } = needs;
  const { peer } = config.trust.spiffe;
  const hasBundles = Object.keys(peer.bundles).length > 0;
  const certificate = 'the extension provider sends no certificate';
  return [
    ...metadataFindings(needs),
    ...atRules('istio_certificate', bound, `${certificate}: no token can be bound to it`),
    ...atRules('istio_server_name', serverNames, 'the extension provider sends no TLS server name'),
    ...(peer.certificate === 'required' || hasBundles
      ? [atFile('istio_certificate', file, `${certificate}: trust.spiffe.peer asks for it`)]
      : []),
    ...(listen.kind === 'unix'
      ? [
          {
            ...atFile('istio_socket', file, 'the extension provider takes no socket'),
            severity: 'error' as const,
            suggestion: 'listen on 127.0.0.1:9191, or render envoyfilter',
          },
        ]
      : []),
    ...(config.tls === undefined
      ? []
      : [
          atFile(
            'istio_tls',
            file,
            'with tls Istio needs a DestinationRule of yours for the provider',
          ),
        ]),
  ];
}

function metadataFindings({ metadata, routeMetadata }: Needs): readonly Finding[] {
  const findings = [...metadata].flatMap(([name, rules]) => {
    const isJwt = /jwt|istio_authn|istio-security/.test(name);
    const why = isJwt
      ? 'CUSTOM runs before jwt_authn, so there is no verified token in metadata: trust the issuer here'
      : 'the extension provider sends no metadata';
    return atRules('istio_metadata', rules, `${why} (${name})`);
  });
  const routes = [...new Set([...routeMetadata.values()].flat())];
  return [
    ...findings,
    ...atRules('istio_metadata', routes, 'the extension provider sends no metadata of routes'),
  ];
}

function waypointFindings({ peers, config }: Needs): readonly Finding[] {
  if (config.trust.spiffe.peer.xfcc === 'last') return [];
  const message =
    'a waypoint has no principal: set trust.spiffe.peer.xfcc: last and annotate its Gateway with ambient.istio.io/xfcc-include-client-identity: "true"';
  return atRules('waypoint_peer', peers, message);
}

function podFindings({ config }: Needs, file: string): readonly Finding[] {
  const isLocal = /^(?:127\.|localhost|\[::1\])/.test(config.admin);
  const probes = `admin is ${config.admin}: the kubelet probes the address of the pod`;
  const secret = 'the key of tls is no part of the ConfigMap: mount it from a Secret';
  const hint = 'set admin: 0.0.0.0:9192';
  return [
    ...(isLocal ? [{ ...atFile('admin_loopback', file, probes), suggestion: hint }] : []),
    ...(config.tls === undefined ? [] : [atFile('secret_key', file, secret)]),
  ];
}

function atFile(code: UnmetCode, file: string, message: string): Finding {
  const place = { file, line: 1, column: 1, path: '' };
  return { severity: 'warning', code, ...place, message, suggestion: undefined };
}

function atRules(code: UnmetCode, rules: readonly Rule[], message: string): readonly Finding[] {
  const [first] = rules;
  if (first === undefined) return [];
  const { file, line, column } = first.at;
  const place = { file, line, column, path: first.id };
  const text = `${nameRules(rules)}: ${message}`;
  return [{ severity: 'warning', code, ...place, message: text, suggestion: undefined }];
}
