import { isIPv4 } from 'node:net';
import { routeMatches, templateCaptures } from './reference-route.js';

/** A rule as a test generates it: plain data, written to YAML and judged here. */
export interface PlainRule {
  readonly id: string;
  readonly effect: 'permit' | 'deny';
  readonly mode?: 'shadow' | undefined;
  readonly principals: readonly string[];
  readonly hosts?: readonly string[] | undefined;
  readonly methods?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly grpc?: readonly string[] | undefined;
  readonly upgrade?: readonly string[] | undefined;
  readonly mcp?: PlainMcp | undefined;
  readonly tcp?:
    | { readonly ports?: readonly number[]; readonly sni?: readonly string[] }
    | undefined;
  readonly source?: readonly string[] | undefined;
  readonly during?: readonly ('open' | 'shut')[] | undefined;
  readonly require?:
    | { readonly posture?: { readonly status: readonly string[] }; readonly maxTokenAge?: '5m' }
    | undefined;
  readonly when?: string | undefined;
}

export interface PlainMcp {
  readonly methods?: readonly string[];
  readonly tools?: readonly string[];
  readonly onlyArguments?: readonly string[];
}

export interface PlainRequest {
  readonly kind: 'http' | 'tcp';
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly ip: string;
  /** '' for none. */
  readonly principal: string;
  readonly token: 'none' | 'fresh' | 'old';
  readonly isGrpc: boolean;
  readonly upgrade: '' | 'websocket' | 'h2c';
  readonly message: PlainMessage | undefined;
  readonly sni: string;
  readonly port: number;
}

export interface PlainMessage {
  readonly method: string;
  readonly tool?: string | undefined;
  readonly arguments?: Readonly<Record<string, string>> | undefined;
}

type Captures = Readonly<Record<string, string>>;
type Meaning = (request: PlainRequest, captures: Captures) => boolean | 'error';

/** Conditions of the generated rules, each with what it means, written apart from CEL. */
export const conditions: Readonly<Record<string, Meaning>> = {
  'request.method == "GET"': ({ kind, method }) => (kind === 'tcp' ? 'error' : method === 'GET'),
  'path.x == "a"': (_, { x }) => (x === undefined ? 'error' : x === 'a'),
  'peer.trustDomain == "prod.example"': ({ principal }) =>
    principal === '' ? 'error' : principal.startsWith('spiffe://prod.example/'),
  'token.subject == "agent-1"': ({ token }) => (token === 'none' ? 'error' : true),
  '!has(token.claims.admin)': ({ token }) => (token === 'none' ? 'error' : true),
  'mcp.arguments.t == "a"': ({ message }) =>
    message?.arguments?.['t'] === undefined ? 'error' : message.arguments['t'] === 'a',
  'source.ip == "10.1.2.3" || tls.sni == "db.test"': ({ ip, sni }) =>
    ip === '10.1.2.3' || sni === 'db.test',
  'facts.environment != "staging"': () => false,
};

export const principals: Readonly<Record<string, RegExp>> = {
  one: /^spiffe:\/\/prod\.example\/ns\/a\/sa\/one$/,
  team: /^spiffe:\/\/prod\.example\/ns\/[^/]+\/sa\/[^/]+$/,
  deep: /^spiffe:\/\/prod\.example\/ns\/a\/.+$/,
  agent: /^corp:agent-[0-9]$/,
};

/** Which identities the posture file lists as active; others are not listed. */
export const active = ['spiffe://prod.example/ns/a/sa/one', 'corp:agent-1'];

export interface Verdict {
  /** `permit ID`, `deny CODE` or `deny CODE ID`. */
  readonly decision: string;
  /** `EFFECT ID` of every rule in shadow mode that matches. */
  readonly shadow: readonly string[];
}

/**
 * An independent, slow opinion on one request: every rule is tried, patterns are regular
 * expressions, nothing is shared with the compiled policy.
 */
export function judgeSlowly(rules: readonly PlainRule[], given: PlainRequest): Verdict {
  // A connection carries no token and no message.
  const bare = { token: 'none', message: undefined } as const;
  const request = given.kind === 'tcp' ? { ...given, ...bare } : given;
  const near = rules.filter((rule) => routeMatches.address(rule, request));
  const asking = near.filter((rule) => rule.mcp !== undefined);
  const isReadable = request.method === 'POST' && request.message !== undefined;
  const isBare = request.method === 'GET' || request.method === 'DELETE';
  if (asking.length > 0 && !isBare && (!isReadable || request.isGrpc)) {
    const isEnforced = asking.some(({ mode }) => mode !== 'shadow');
    if (isEnforced) return { decision: 'deny mcp_malformed', shadow: [] };
  }
  const isMcp = asking.length > 0 && isReadable && !request.isGrpc;
  const known = isMcp ? request : { ...request, message: undefined };
  const candidates = near.filter((rule) => routeMatches.rest(rule, known));
  const judged = candidates.map((rule) => ({ rule, fault: faultOf(rule, known) }));
  const shadow = judged
    .filter(({ rule, fault }) => rule.mode === 'shadow' && fault === undefined)
    .map(({ rule }) => `${rule.effect} ${rule.id}`);
  const enforced = judged.filter(({ rule }) => rule.mode !== 'shadow');
  const deny = enforced.find(({ rule, fault }) => rule.effect === 'deny' && fault === undefined);
  if (deny !== undefined) return { decision: `deny denied_by_rule ${deny.rule.id}`, shadow };
  const permits = enforced.filter(({ rule }) => rule.effect === 'permit');
  const permit = permits.find(({ fault }) => fault === undefined);
  if (permit !== undefined) return { decision: `permit ${permit.rule.id}`, shadow };
  const furthest = Math.max(-1, ...permits.map(({ fault }) => fault?.stage ?? -1));
  const nearest = permits.find(({ fault }) => fault?.stage === furthest);
  const decision =
    nearest?.fault === undefined ? 'deny no_rule' : `deny ${nearest.fault.code} ${nearest.rule.id}`;
  return { decision, shadow };
}

interface Fault {
  readonly stage: number;
  readonly code: string;
}

function identities({ principal, token }: PlainRequest): readonly string[] {
  const bearer = token !== 'none' ? ['corp:agent-1'] : [];
  return [...(principal === '' ? [] : [principal]), ...bearer];
}

/** The first key of the rule that does not hold, behind its route. */
function faultOf(rule: PlainRule, request: PlainRequest): Fault | undefined {
  const ids = identities(request);
  if (!rule.principals.some((name) => isPrincipal(name, ids))) {
    return { stage: 0, code: ids.length === 0 ? 'credential_missing' : 'principal_not_allowed' };
  }
  if (rule.source !== undefined && !rule.source.some((cidr) => isInside(cidr, request.ip))) {
    return { stage: 1, code: 'source_not_allowed' };
  }
  if (rule.during !== undefined && !rule.during.includes('open')) {
    return { stage: 2, code: 'outside_window' };
  }
  const posture = rule.require?.posture;
  if (posture !== undefined) {
    const isListed = ids.length > 0 && ids.every((id) => active.includes(id));
    if (!isListed) return { stage: 3, code: 'posture_unknown' };
    if (!posture.status.includes('active')) return { stage: 3, code: 'posture_refused' };
  }
  if (rule.require?.maxTokenAge !== undefined && request.token !== 'fresh') {
    return { stage: 3, code: request.token === 'none' ? 'credential_missing' : 'token_too_old' };
  }
  return holds(rule, request) ? undefined : { stage: 4, code: 'condition_false' };
}

function holds({ when, effect, paths }: PlainRule, request: PlainRequest): boolean {
  const condition = when === undefined ? undefined : conditions[when];
  if (condition === undefined) return true;
  const found = (paths ?? [undefined]).flatMap((path) => templateCaptures(path, request.path));
  return found.some((captured) => {
    const value = condition(request, captured);
    return value === 'error' ? effect === 'deny' : value;
  });
}

function isPrincipal(name: string, ids: readonly string[]): boolean {
  if (name === 'anyone') return true;
  if (name === 'authenticated') return ids.length > 0;
  return ids.some((id) => principals[name]?.test(id) === true);
}

/** IPv4 only: what the generated rules use. */
function isInside(cidr: string, ip: string): boolean {
  const [network = '', bits = '32'] = cidr.split('/');
  if (!isIPv4(ip)) return false;
  const number = (text: string) =>
    text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(ip) / size) === Math.floor(number(network) / size);
}
