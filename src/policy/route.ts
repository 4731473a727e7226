import type { HttpRequest, McpMessage } from '../request/request.js';
import type { Template } from '../request/template.js';
import type { RuleEntry } from './policy-schema.js';
import type { McpRoute, Route } from './policy-set.js';
import { compileTextPatterns, type TextPattern } from './text-pattern.js';

/** `pkg.Service/Method` or `pkg.Service/*`; undefined for anything else. */
export function parseGrpcMethod(
  text: string,
): { service: string; method: string | undefined } | undefined {
  const [, service, method] = /^([A-Za-z_][\w.]*)\/([A-Za-z_]\w*|\*)$/.exec(text) ?? [];
  if (service === undefined || method === undefined) return undefined;
  return { service, method: method === '*' ? undefined : method };
}

/**
 * Compiles what a rule is for. `matches` judges method, gRPC call, MCP message and upgrade; host
 * and path are found by the index.
 */
export function compileRoute(
  entry: RuleEntry,
  templates: readonly Template[] | undefined,
  sets: MethodSets = new Map(),
): Route {
  // Of the entry, which is large, the function below keeps nothing else.
  const { effect } = entry;
  const methods = entry.methods && methodSet(entry.methods, sets);
  const grpc = entry.grpc?.map(parseGrpcMethod).filter((call) => call !== undefined);
  const upgrade = entry.upgrade?.map((protocol) => protocol.toLowerCase());
  const matchesMcp = compileMcp(entry.mcp, entry.effect);
  return {
    hosts: entry.hosts,
    templates,
    methods,
    grpc,
    mcp: entry.mcp === undefined ? undefined : mcpRoute(entry.mcp),
    tcp:
      entry.tcp === undefined
        ? undefined
        : { ports: entry.tcp.ports && new Set(entry.tcp.ports), sni: entry.tcp.sni },
    upgrade,
    matches: (request, mcp) =>
      (methods === undefined || methods.has(request.method)) &&
      (grpc === undefined || matchesGrpc(grpc, request)) &&
      matchesUpgrade(upgrade, effect, request) &&
      (matchesMcp === undefined || matchesMcp(mcp)),
  };
}

/** Sets of methods by their names: most rules of a file have one of a few. */
export type MethodSets = Map<string, ReadonlySet<string>>;

function methodSet(methods: readonly string[], sets: MethodSets): ReadonlySet<string> {
  const key = methods.join(' ');
  const known = sets.get(key) ?? new Set(methods);
  sets.set(key, known);
  return known;
}

function matchesGrpc(calls: NonNullable<Route['grpc']>, { grpc }: HttpRequest): boolean {
  if (grpc === undefined) return false;
  return calls.some(
    ({ service, method }) =>
      service === grpc.service && (method === undefined || method === grpc.method),
  );
}

/**
 * A permit for an upgrade has to name it; a deny applies to upgrades without naming them; a rule
 * that names one is for no plain request.
 */
function matchesUpgrade(
  upgrade: readonly string[] | undefined,
  effect: RuleEntry['effect'],
  request: HttpRequest,
): boolean {
  if (upgrade === undefined) return effect === 'deny' || request.upgrade.length === 0;
  if (request.upgrade.length === 0) return false;
  const isNamed = (protocol: string) => upgrade.includes(protocol);
  return effect === 'deny' ? request.upgrade.some(isNamed) : request.upgrade.every(isNamed);
}

type McpEntry = NonNullable<RuleEntry['mcp']>;

function mcpRoute(entry: McpEntry): McpRoute {
  const { methods, tools, resources, prompts, onlyArguments } = entry;
  return {
    methods,
    tools,
    resources,
    prompts,
    onlyArguments: onlyArguments && new Set(onlyArguments),
  };
}

function compileMcp(
  entry: McpEntry | undefined,
  effect: RuleEntry['effect'],
): ((mcp: McpMessage | undefined) => boolean) | undefined {
  if (entry === undefined) return undefined;
  const methods = optional(entry.methods);
  const tools = optional(entry.tools);
  const resources = optional(entry.resources);
  const prompts = optional(entry.prompts);
  const only = entry.onlyArguments && new Set(entry.onlyArguments);
  const holds = (pattern: TextPattern | undefined, value: string | undefined) =>
    pattern === undefined || (value !== undefined && pattern(value));
  return (mcp) => {
    if (mcp?.kind !== 'message') return false;
    if (!holds(methods, mcp.method) || !holds(tools, mcp.tool)) return false;
    if (!holds(resources, mcp.resource) || !holds(prompts, mcp.prompt)) return false;
    if (only === undefined) return true;
    // Others than those that are known could be there: that counts against the caller.
    if (!mcp.hasAllArguments) return effect === 'deny';
    return mcp.arguments !== undefined && Object.keys(mcp.arguments).every((key) => only.has(key));
  };
}

function optional(patterns: readonly string[] | undefined): TextPattern | undefined {
  return patterns === undefined ? undefined : compileTextPatterns(patterns);
}
