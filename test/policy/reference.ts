import { isIPv4 } from 'node:net';

/** A rule as a test generates it: plain data, written to YAML and judged here. */
export interface PlainRule {
  readonly id: string;
  readonly effect: 'permit' | 'deny';
  readonly principals: readonly string[];
  readonly hosts: readonly string[] | undefined;
  readonly methods: readonly string[] | undefined;
  readonly paths: readonly string[] | undefined;
  readonly source: readonly string[] | undefined;
  readonly when: string | undefined;
}

export interface PlainRequest {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly ip: string;
  /** '' for none. */
  readonly principal: string;
}

/** Conditions of the generated rules, each with what it means, written apart from CEL. */
export const conditions: Readonly<
  Record<
    string,
    (request: PlainRequest, captures: Readonly<Record<string, string>>) => boolean | 'error'
  >
> = {
  'request.method == "GET"': ({ method }) => method === 'GET',
  'path.x == "a"': (_, { x }) => (x === undefined ? 'error' : x === 'a'),
  'peer.trustDomain == "prod.example"': ({ principal }) =>
    principal === '' ? 'error' : principal.startsWith('spiffe://prod.example/'),
  'token.subject == "x"': () => 'error',
};

export const principals: Readonly<Record<string, RegExp | undefined>> = {
  one: /^spiffe:\/\/prod\.example\/ns\/a\/sa\/one$/,
  team: /^spiffe:\/\/prod\.example\/ns\/[^/]+\/sa\/[^/]+$/,
  deep: /^spiffe:\/\/prod\.example\/ns\/a\/.+$/,
};

/**
 * An independent, slow opinion on one request: every rule is tried, patterns are regular
 * expressions, nothing is shared with the compiled policy. Gives the id of the rule that decides.
 */
export function judgeSlowly(rules: readonly PlainRule[], request: PlainRequest): string {
  const deny = rules.find((rule) => rule.effect === 'deny' && matches(rule, request));
  if (deny !== undefined) return `deny ${deny.id}`;
  const permit = rules.find((rule) => rule.effect === 'permit' && matches(rule, request));
  return permit === undefined ? 'deny' : `permit ${permit.id}`;
}

function matches(rule: PlainRule, request: PlainRequest): boolean {
  const { hosts, methods, source, paths, when } = rule;
  if (hosts !== undefined && !hosts.some((host) => hostExpression(host).test(request.host)))
    return false;
  if (methods !== undefined && !methods.includes(request.method)) return false;
  if (!rule.principals.some((name) => isPrincipal(name, request.principal))) return false;
  if (source !== undefined && !source.some((cidr) => isInside(cidr, request.ip))) return false;
  const found = (paths ?? [undefined]).flatMap((path) => captures(path, request.path));
  if (found.length === 0) return false;
  const condition = when === undefined ? undefined : conditions[when];
  if (condition === undefined) return true;
  return found.some((captured) => {
    const value = condition(request, captured);
    return value === 'error' ? rule.effect === 'deny' : value;
  });
}

function hostExpression(host: string): RegExp {
  return new RegExp(`^${host.replaceAll('.', '\\.').replace('*', '[^.]+')}$`);
}

function isPrincipal(name: string, principal: string): boolean {
  if (name === 'anyone') return true;
  if (name === 'authenticated') return principal !== '';
  return principals[name]?.test(principal) === true;
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

/** The captures of a template by a regular expression; an empty list when it does not match. */
function captures(template: string | undefined, path: string): Record<string, string>[] {
  if (template === undefined) return [{}];
  const names: string[] = [];
  const expression = template
    .slice(1)
    .split('/')
    .map((part) => {
      if (part === '**') return '(?:/.*)?';
      if (part === '*') return '/[^/]+';
      if (!part.startsWith('{')) return `/${part}`;
      names.push(part.slice(1, -1));
      return '/([^/]+)';
    })
    .join('');
  const found = new RegExp(`^${expression}$`).exec(path);
  if (found === null) return [];
  return [Object.fromEntries(names.map((name, at) => [name, found[at + 1] ?? '']))];
}
