import type { z } from 'zod';
import { type Document, isRefused, type Path, parseDocument } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import { isTrustedUrl } from '../trust/trusted-url.js';
import { parseWorkloadEndpoint } from '../trust/workload-endpoint.js';
import { type Config, configSchema, type JwksConfig } from './config-schema.js';
import { isLoopback, parseListenAddress } from './listen-address.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads `countersign.yaml`: defaults filled in, `${NAME}` in facts replaced from the environment, and
 * the Workload API's address taken from there where bundles are needed and the file has no word of it.
 * Gives everything that is wrong with it, each with line and column.
 */
export function parseConfig(
  file: string,
  text: string,
  environment: Environment,
): { config: Config; document: Document<Config> } | readonly Finding[] {
  const document = parseDocument(file, text, configSchema);
  if (isRefused(document)) return document;
  const findings: Finding[] = [];
  const say = (path: Path, code: string, message: string, suggestion?: string) =>
    findings.push(document.finding('error', code, path, message, suggestion));
  checkAddresses(document.value, say);
  checkIssuers(document.value, say);
  checkRest(document.value, say);
  const facts = substitute(document.value.facts, ['facts'], environment, say);
  const trust = withWorkloadApi(document.value.trust, environment, say);
  return findings.length > 0
    ? findings
    : { config: { ...document.value, trust, facts: facts as Config['facts'] }, document };
}

/** SPIFFE Workload Endpoint §4: the address in the environment counts only where none is configured. */
function withWorkloadApi(
  trust: Config['trust'],
  environment: Environment,
  say: Say,
): Config['trust'] {
  const { spiffe } = trust;
  const variable = 'SPIFFE_ENDPOINT_SOCKET';
  const isFromFile = spiffe.workloadApi !== undefined;
  const address = spiffe.workloadApi ?? (needsBundles(spiffe) ? environment[variable] : undefined);
  if (address === undefined) return trust;
  const endpoint = parseWorkloadEndpoint(address);
  if (typeof endpoint !== 'string')
    return { ...trust, spiffe: { ...spiffe, workloadApi: address } };
  const path = isFromFile ? ['trust', 'spiffe', 'workloadApi'] : ['trust', 'spiffe'];
  say(path, 'bad_address', isFromFile ? endpoint : `${variable} is set: ${endpoint}`);
  return trust;
}

/** Whether something is accepted by bundles alone that no file is configured for. */
function needsBundles({ trustDomains, jwtSvid, peer }: Config['trust']['spiffe']): boolean {
  const lacks = (files: object) => trustDomains.some((name) => !Object.hasOwn(files, name));
  const hasPeers = peer.certificate === 'required' && Object.keys(peer.bundles).length === 0;
  return (jwtSvid !== undefined && lacks(jwtSvid.bundles)) || (hasPeers && lacks(peer.bundles));
}

type Say = (path: Path, code: string, message: string, suggestion?: string) => void;

function checkAddresses(config: Config, say: Say): void {
  for (const key of ['listen', 'admin'] as const) {
    const address = parseListenAddress(config[key]);
    if (address === undefined) {
      say([key], 'bad_address', 'an address is host:port, [v6]:port or unix:///path');
    } else if (key === 'admin' && address.kind === 'unix') {
      say([key], 'bad_address', 'the admin server listens on host:port');
    } else if (key === 'listen' && !isLoopback(address) && !config.insecure && !config.tls) {
      const message =
        'another address than loopback lets others ask: it needs tls, or insecure: true';
      say([key], 'open_address', message, 'listen on 127.0.0.1 or a unix socket');
    }
  }
}

function checkIssuers(config: Config, say: Say): void {
  const seen = new Map<string, string>();
  for (const list of ['jwt', 'approvals'] as const) {
    for (const [index, issuer] of config.trust[list].entries()) {
      const path = ['trust', list, index] as const;
      const before = seen.get(issuer.name);
      if (before !== undefined) {
        say([...path, 'name'], 'duplicate_name', `the name "${issuer.name}" is taken by ${before}`);
      }
      seen.set(issuer.name, `trust.${list}[${index}]`);
      checkJwks(issuer.jwks, issuer.issuer, [...path, 'jwks'], say);
      if (list === 'jwt') checkTypes(issuer.types ?? [], [...path, 'types'], say);
    }
  }
  const identity = config.trust.jwt.map(({ issuer, header }) => `${header} ${issuer}`);
  for (const [index, key] of identity.entries()) {
    if (identity.indexOf(key) !== index) {
      say(['trust', 'jwt', index, 'issuer'], 'duplicate_issuer', 'this issuer is configured twice');
    }
  }
}

/** Kinds of JWT that say something and give no access: nobody may be let in by one (BCP 225 §3.12). */
const refusedTypes: readonly string[] = [
  ...['wit+jwt', 'wpt+jwt', 'dpop+jwt', 'secevent+jwt', 'logout+jwt', 'statuslist+jwt'],
  ...['txntoken+jwt', 'nhi-approval+jwt'],
];

function checkTypes(types: readonly string[], path: Path, say: Say): void {
  for (const [index, type] of types.entries()) {
    const short = type.toLowerCase().replace(/^application\//, '');
    if (!refusedTypes.includes(short)) continue;
    say([...path, index], 'refused_type', `a token of type ${short} gives no access`);
  }
}

/** An external base URL that `htu` may name: a request's path is put behind it as it is. */
function isOrigin(text: string): boolean {
  return /^https?:\/\/[^/?#@\\\s]+(?:\/[^/?#\\\s]+)*$/i.test(text) && URL.canParse(text);
}

function checkJwks({ url, discovery }: JwksConfig, issuer: string, path: Path, say: Say): void {
  const remote = discovery === true ? issuer : url;
  if (remote === undefined || isTrustedUrl(remote)) return;
  say([...path], 'insecure_url', 'keys are fetched by https: (http: from loopback only)');
}

function checkRest(config: Config, say: Say): void {
  const { spiffe } = config.trust;
  const { peer, jwtSvid } = spiffe;
  for (const [where, bundles] of [
    ['peer', peer.bundles],
    ['jwtSvid', jwtSvid?.bundles ?? {}],
  ] as const) {
    for (const trustDomain of Object.keys(bundles)) {
      if (spiffe.trustDomains.includes(trustDomain)) continue;
      const path = ['trust', 'spiffe', where, 'bundles', trustDomain];
      say(path, 'unknown_trust_domain', `"${trustDomain}" is not among trustDomains`);
    }
  }
  if (config.replay.store === 'valkey' && config.replay.url === undefined) {
    say(['replay'], 'missing', 'the store valkey needs a url: redis://host:port');
  }
  for (const [index, origin] of config.trust.dpop.origins.entries()) {
    if (isOrigin(origin)) continue;
    const message =
      'an origin is a scheme and a host, without a "/" at its end: https://api.example';
    say(['trust', 'dpop', 'origins', index], 'bad_origin', message);
  }
  for (const key of Object.keys(config.data)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) {
      say(['data', key], 'wrong_key', 'the name of a data file is a word that conditions can use');
    }
  }
}

type Json = z.core.util.JSONType;

/** Replaces `${NAME}` in every text; a variable that is not set is a finding. */
function substitute(value: Json, path: Path, environment: Environment, say: Say): Json {
  if (typeof value === 'string') {
    return value.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (whole, variable: string) => {
      const found = environment[variable];
      if (found === undefined) {
        say(path, 'unset_variable', `the environment has no variable ${variable}`);
      }
      return found ?? whole;
    });
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => substitute(item, [...path, index], environment, say));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      substitute(item, [...path, key], environment, say),
    ]),
  );
}
