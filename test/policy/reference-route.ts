import type { PlainMcp, PlainMessage, PlainRequest, PlainRule } from './reference.js';

/** Whether a rule is for a request, by regular expressions over the whole of it. */
export const routeMatches = {
  /** Host and path, or the name of a connection. */
  address(rule: PlainRule, request: PlainRequest): boolean {
    if ((rule.tcp !== undefined) !== (request.kind === 'tcp')) return false;
    if (rule.tcp !== undefined) return isNamed(rule.tcp.sni, request.sni.toLowerCase());
    const isPath = (path: string) => templateCaptures(path, request.path).length > 0;
    return (
      isNamed(rule.hosts, request.host) && (rule.paths === undefined || rule.paths.some(isPath))
    );
  },

  /** Port, method, gRPC call, upgrade and message. */
  rest(rule: PlainRule, request: PlainRequest): boolean {
    const { tcp, methods, grpc, mcp } = rule;
    if (tcp !== undefined) return tcp.ports === undefined || tcp.ports.includes(request.port);
    if (methods !== undefined && !methods.includes(request.method)) return false;
    if (grpc !== undefined && !grpc.some((call) => isCall(call, request))) return false;
    if (!isUpgrade(rule, request.upgrade)) return false;
    return mcp === undefined || isMessage(mcp, request.message);
  },
};

function isNamed(patterns: readonly string[] | undefined, name: string): boolean {
  return patterns === undefined || patterns.some((pattern) => nameExpression(pattern).test(name));
}

function nameExpression(pattern: string): RegExp {
  return new RegExp(`^${pattern.replaceAll('.', '\\.').replace('*', '[^.]+')}$`);
}

function isCall(call: string, { method, isGrpc, path }: PlainRequest): boolean {
  if (method !== 'POST' || !isGrpc) return false;
  return new RegExp(`^/${call.replaceAll('.', '\\.').replace('*', '[^/]+')}$`).test(path);
}

function isUpgrade({ upgrade, effect }: PlainRule, asked: string): boolean {
  if (upgrade === undefined) return effect === 'deny' || asked === '';
  return asked !== '' && upgrade.includes(asked);
}

function isMessage(mcp: PlainMcp, message: PlainMessage | undefined): boolean {
  if (message === undefined) return false;
  const like = (patterns: readonly string[] | undefined, value: string | undefined) =>
    patterns === undefined ||
    (value !== undefined &&
      patterns.some((pattern) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(value)));
  if (!like(mcp.methods, message.method) || !like(mcp.tools, message.tool)) return false;
  if (mcp.onlyArguments === undefined) return true;
  if (message.method !== 'tools/call') return false;
  return Object.keys(message.arguments ?? {}).every((key) => mcp.onlyArguments?.includes(key));
}

/** The captures of a template by a regular expression; an empty list when it does not match. */
export function templateCaptures(
  template: string | undefined,
  path: string,
): Record<string, string>[] {
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
