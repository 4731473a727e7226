import type { Finding } from '../document/finding.js';
import { parseDuration } from '../document/units.js';
import { providerName } from './istio.js';
import type { IstioFiles, Provider } from './istio-files.js';
import { type Needs, nameRules } from './needs.js';

/** Codes of what is wrong in an operator's Istio files; docs/lint.md explains each. */
export const istioCodes = [
  'provider_body',
  'provider_fail_open',
  'provider_name',
  'provider_prefix',
  'provider_timeout',
  'provider_unknown',
  'scope_narrow',
  'sidecar_hides',
] as const;

/**
 * What Istio would make of an operator's own files that is not meant: Istio's validation passes all
 * of it (REAL.md C). Warnings, since the files may be a part of what the mesh has.
 */
export function lintIstio(needs: Needs, files: IstioFiles): readonly Finding[] {
  return [
    ...files.findings,
    ...files.providers.flatMap((one) => lintName(one, files.providers)),
    ...files.providers.flatMap((one) => lintProvider(one, needs)),
    ...files.policies.flatMap((one) => lintPolicy(one, files)),
    ...files.sidecars.flatMap((one) => lintSidecar(one, files)),
  ];
}

function lintName({ value: { name }, say }: Provider, all: readonly Provider[]) {
  const longer = all.find(({ value }) => value.name !== name && value.name.startsWith(name));
  const isTwice = all.filter(({ value }) => value.name === name).length > 1;
  return [
    ...(providerName.test(name)
      ? []
      : [say(['name'], 'provider_name', `Istio refuses the provider name "${name}"`)]),
    ...(isTwice ? [say(['name'], 'provider_name', `"${name}" is defined twice`)] : []),
    ...(longer === undefined
      ? []
      : [
          say(
            ['name'],
            'provider_prefix',
            `"${name}" is how "${longer.value.name}" begins: policies of that one ask this one as well`,
          ),
        ]),
  ];
}

function lintProvider({ value, say }: Provider, needs: Needs): readonly Finding[] {
  const { envoyExtAuthzGrpc: grpc, name } = value;
  if (grpc === undefined) return [];
  const at = 'envoyExtAuthzGrpc';
  const { deadline } = needs.config;
  const timeoutMs = grpc.timeout === undefined ? 600_000 : milliseconds(grpc.timeout);
  const findings: Finding[] = [];
  if (timeoutMs > 10_000) {
    const what = grpc.timeout === undefined ? "no timeout: Istio's is 600 s" : 'a long timeout';
    findings.push(say([at, 'timeout'], 'provider_timeout', `"${name}" has ${what}`));
  } else if (timeoutMs <= deadline) {
    const message = `"${name}" waits no longer than Countersign's deadline of ${deadline} ms`;
    findings.push(say([at, 'timeout'], 'provider_timeout', message));
  }
  if (grpc.failOpen === true) {
    const message = `"${name}" lets everything through while Countersign is away`;
    findings.push(say([at, 'failOpen'], 'provider_fail_open', message));
  }
  return [...findings, ...lintBody(value, say, needs)];
}

/** Seconds with a fraction, or Go's other units, as MeshConfig takes them. */
function milliseconds(text: string): number {
  const [, seconds] = /^(\d+\.\d+|\.\d+)s$/.exec(text) ?? [];
  return seconds === undefined ? (parseDuration(text) ?? 0) : Number(seconds) * 1000;
}

function lintBody(
  { envoyExtAuthzGrpc: grpc, name }: Provider['value'],
  say: Provider['say'],
  { bodies, config }: Needs,
): readonly Finding[] {
  const body = grpc?.includeRequestBodyInCheck;
  const warn = (key: string, message: string) =>
    say(['envoyExtAuthzGrpc', 'includeRequestBodyInCheck', key], 'provider_body', message);
  if (body === undefined) {
    return bodies.length === 0
      ? []
      : [warn('', `"${name}" sends no body, which is read by ${nameRules(bodies)}`)];
  }
  const max = body.maxRequestBytes ?? 0;
  const { body: limit } = config.limits;
  return [
    ...(max === limit
      ? []
      : [warn('maxRequestBytes', `maxRequestBytes is ${max}, and limits.body is ${limit}`)]),
    ...(body.allowPartialMessage === true
      ? [warn('allowPartialMessage', 'a longer body arrives in part, and is then refused')]
      : []),
    ...(body.packAsBytes === true
      ? []
      : [warn('packAsBytes', 'the body arrives as text, with bytes replaced: packAsBytes: true')]),
  ];
}

function lintPolicy(
  { value, say }: IstioFiles['policies'][number],
  { hasMesh, providers }: IstioFiles,
): readonly Finding[] {
  const { provider, rules = [] } = value.spec;
  const isKnown = providers.some((one) => one.value.name === provider.name);
  const isAll = rules.some((rule) => Object.keys(rule).length === 0);
  const at = ['spec', 'provider', 'name'];
  return [
    ...(hasMesh && !isKnown
      ? [
          say(
            at,
            'provider_unknown',
            `MeshConfig defines no provider "${provider.name}": everything is denied`,
          ),
        ]
      : []),
    ...(isAll
      ? []
      : [
          say(
            ['spec', 'rules'],
            'scope_narrow',
            'what these rules leave out is not asked about and goes through: rules: [{}]',
          ),
        ]),
  ];
}

/** A Sidecar resource whose egress does not import the provider takes its cluster away. */
function lintSidecar(
  { value, say }: IstioFiles['sidecars'][number],
  { providers, policies }: IstioFiles,
): readonly Finding[] {
  const home = value.metadata.namespace ?? 'default';
  const used = new Set(policies.map((one) => one.value.spec.provider.name));
  return providers.flatMap(({ value: { name, envoyExtAuthzGrpc: grpc } }) => {
    if (grpc === undefined || !used.has(name)) return [];
    const [host = '', namespace] = grpc.service.split('/').reverse();
    const isSeen = value.spec.egress.some(
      ({ hosts, port }) =>
        (port === undefined || port.number === grpc.port) &&
        hosts.some((pattern) => imports(pattern, home, namespace, host)),
    );
    const message = `"${value.metadata.name}" hides ${host}, where "${name}" is: every request is denied`;
    return isSeen ? [] : [say(['spec', 'egress'], 'sidecar_hides', message)];
  });
}

function imports(
  pattern: string,
  home: string,
  namespace: string | undefined,
  host: string,
): boolean {
  const [where = '', name = ''] = pattern.split('/');
  const own = where === '.' ? home : where;
  const hasNamespace = own === '*' || namespace === undefined || own === namespace;
  const hasName =
    name === '*' || name === host || (name.startsWith('*.') && host.endsWith(name.slice(1)));
  return where !== '~' && hasNamespace && hasName;
}
