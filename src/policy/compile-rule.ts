import { didYouMean } from '../document/did-you-mean.js';
import type { Path } from '../document/document.js';
import { parseTemplate, type Template } from '../request/template.js';
import { type AddressRanges, compileAddressRanges, parseCidr } from './address-ranges.js';
import type { FileScope, Report } from './compile.js';
import { type Condition, createCondition } from './condition.js';
import { type HostPattern, parseHostPattern } from './host-pattern.js';
import type { RuleEntry } from './policy-schema.js';
import type { Requirements } from './policy-set.js';
import type { Principal } from './principal.js';
import { compileRoute, parseGrpcMethod } from './route.js';
import type { IndexedRule } from './rule-index.js';
import type { TimeWindow } from './time-window.js';

export type CompiledRule = IndexedRule;

const none: readonly string[] = [];
const noRequirements: Requirements = {
  approval: undefined,
  posture: undefined,
  maxTokenAgeMs: undefined,
  proof: undefined,
};

/**
 * Compiles one rule of a file, reporting everything that is wrong with it; undefined when a part is
 * missing. Lists that stay are copied with `slice`: `flatMap` leaves room for seventeen.
 */
export function compileRule(
  scope: FileScope,
  index: number,
  order: number,
): CompiledRule | undefined {
  const { document } = scope;
  const entry = document.value.rules[index];
  if (entry === undefined) return undefined;
  const path: Path = ['rules', index];
  if (entry.effect === 'permit' && entry.principals === undefined && !scope.isMisspelt(index)) {
    const message = `the permit "${entry.id}" does not say for whom`;
    scope.report(path, 'missing_principals', message, 'add principals: [authenticated], or anyone');
  }
  checkKeys(entry, path, scope);
  const templates = compileTemplates(entry, path, scope);
  const hosts = compileHosts(entry, path, scope) ?? compileSni(entry, path, scope);
  const { line, column } = document.at(path);
  const rule = {
    id: entry.id,
    policy: document.value.policy,
    description: entry.description,
    effect: entry.effect,
    mode: entry.mode ?? document.value.mode ?? 'enforce',
    controls: entry.controls ?? none,
    at: { file: document.file, line, column },
    order,
    route: compileRoute(entry, templates, scope.shared.methods),
    principals: resolvePrincipals(entry, path, scope),
    source: compileSource(entry, path, scope),
    during: resolveWindows(entry, path, scope),
    require: compileRequirements(entry, path, scope),
    when: compileWhen(entry, templates ?? [], path, scope),
  } as const;
  return { rule, hosts, templates: templates ?? grpcTemplates(entry) };
}

/** Keys that mean nothing beside each other. */
function checkKeys(entry: RuleEntry, path: Path, { report }: FileScope): void {
  for (const [at, text] of (entry.grpc ?? []).entries()) {
    if (parseGrpcMethod(text) !== undefined) continue;
    report([...path, 'grpc', at], 'bad_grpc', 'a gRPC call is pkg.Service/Method or pkg.Service/*');
  }
  if (entry.tcp === undefined) checkRequestKeys(entry, path, report);
  else {
    const keys = ['hosts', 'methods', 'paths', 'grpc', 'mcp', 'upgrade'] as const;
    for (const key of keys) {
      if (entry[key] === undefined) continue;
      report(
        [...path, key],
        'wrong_kind',
        `a rule with tcp is for connections, which have no ${key}`,
      );
    }
    for (const key of ['approval', 'maxTokenAge', 'proof'] as const) {
      if (entry.require?.[key] === undefined) continue;
      const message = 'a rule with tcp is for connections, which carry no token and no approval';
      report([...path, 'require', key], 'wrong_kind', message);
    }
  }
}

/** A rule that no request can be for would be a deny that never denies. */
function checkRequestKeys(entry: RuleEntry, path: Path, report: Report): void {
  for (const key of ['grpc', 'upgrade'] as const) {
    if (entry.mcp === undefined || entry[key] === undefined) continue;
    report([...path, key], 'wrong_kind', `an MCP message is never ${kinds[key]}`);
  }
  if (entry.grpc !== undefined && entry.upgrade !== undefined) {
    report([...path, 'upgrade'], 'wrong_kind', 'a gRPC call is never an upgrade');
  }
  if (entry.methods === undefined || entry.methods.includes('POST')) return;
  for (const key of ['grpc', 'mcp'] as const) {
    if (entry[key] === undefined) continue;
    const message = `a rule with ${key} is for POST alone: with these methods it never matches`;
    report([...path, 'methods'], 'wrong_kind', message);
  }
}

const kinds = { grpc: 'a gRPC call', upgrade: 'an upgrade' } as const;

function compileTemplates(
  entry: RuleEntry,
  path: Path,
  { report, shared }: FileScope,
): readonly Template[] | undefined {
  const templates = entry.paths?.flatMap((text, at) => {
    const template = parseTemplate(text, shared.literals);
    if (typeof template !== 'string') return [template];
    report([...path, 'paths', at], 'bad_path', template);
    return [];
  });
  return templates?.slice();
}

function compileHosts(
  entry: RuleEntry,
  path: Path,
  { report }: FileScope,
): readonly HostPattern[] | undefined {
  return entry.hosts?.flatMap((text, at) => {
    const host = parseHostPattern(text);
    if (typeof host !== 'string') return [host];
    report([...path, 'hosts', at], 'bad_host', host);
    return [];
  });
}

/** The names of a rule for connections, which the index finds like hosts. */
function compileSni(
  entry: RuleEntry,
  path: Path,
  { report }: FileScope,
): readonly HostPattern[] | undefined {
  return entry.tcp?.sni?.flatMap((text, at) => {
    const name = parseHostPattern(text);
    if (typeof name !== 'string' && name.port === undefined) return [name];
    report(
      [...path, 'tcp', 'sni', at],
      'bad_sni',
      'an SNI is a name, or *.example.com, without a port',
    );
    return [];
  });
}

/** A rule with `grpc` and no `paths` is found by the paths of its calls. */
function grpcTemplates(entry: RuleEntry): readonly Template[] | undefined {
  return entry.grpc?.flatMap((text) => {
    const call = parseGrpcMethod(text);
    const template = call === undefined ? 'no call' : parseTemplate(`/${text}`);
    return typeof template === 'string' ? [] : [template];
  });
}

function resolvePrincipals(
  entry: RuleEntry,
  path: Path,
  { principals, report }: FileScope,
): readonly Principal[] {
  const found = (entry.principals ?? []).flatMap((name, at) => {
    const principal = principals.get(name);
    if (principal !== undefined) return [principal];
    const suggestion = didYouMean(name, [...principals.keys()]);
    const message = `"${name}" is not a principal of this policy`;
    report([...path, 'principals', at], 'unknown_principal', message, suggestion);
    return [];
  });
  return found.slice();
}

function compileSource(
  entry: RuleEntry,
  path: Path,
  { report }: FileScope,
): AddressRanges | undefined {
  const cidrs = entry.source?.flatMap((text, at) => {
    const cidr = parseCidr(text);
    if (typeof cidr !== 'string') return [cidr];
    report([...path, 'source', at], 'bad_cidr', cidr);
    return [];
  });
  return cidrs && compileAddressRanges(cidrs);
}

function resolveWindows(
  entry: RuleEntry,
  path: Path,
  { windows, report }: FileScope,
): readonly TimeWindow[] | undefined {
  return entry.during?.flatMap((name, at) => {
    const window = windows.get(name);
    if (window !== undefined) return [window];
    const message = `"${name}" is not a window of this policy`;
    const suggestion = didYouMean(name, [...windows.keys()]);
    report([...path, 'during', at], 'unknown_window', message, suggestion);
    return [];
  });
}

function compileRequirements(
  entry: RuleEntry,
  path: Path,
  { approvals, report }: FileScope,
): Requirements {
  if (entry.require === undefined) return noRequirements;
  const { approval, posture, maxTokenAge, proof } = entry.require;
  for (const [index, board] of (approval?.from ?? []).entries()) {
    if (approvals.includes(board)) continue;
    const message = `"${board}" is not the name of a configured approval board`;
    const at = [...path, 'require', 'approval', 'from', index];
    report(at, 'unknown_approval_board', message, didYouMean(board, approvals));
  }
  return {
    approval,
    posture: posture && {
      status: posture.status,
      secretStatus: posture.secretStatus,
      maxAgeMs: posture.maxAge,
    },
    maxTokenAgeMs: maxTokenAge,
    proof,
  };
}

function compileWhen(
  entry: RuleEntry,
  templates: readonly Template[],
  path: Path,
  scope: FileScope,
): Condition | undefined {
  if (entry.when === undefined) return undefined;
  const captures = templates.flatMap(({ parts }) =>
    parts.flatMap((part) => (part.kind === 'capture' ? [part.name] : [])),
  );
  const { facts, dataFiles, data, windows } = scope;
  const { check, engine } = scope.conditions;
  const checked = check(path, entry.when, { captures, facts, dataFiles, data, windows });
  const at = [...path, 'when'];
  if ('source' in checked) {
    for (const { offset, message, suggestion } of checked.doubts) {
      scope.warnAt(at, offset, 'data_shape', `${message}, in the data as it is now`, suggestion);
    }
    return createCondition(checked, windows, engine);
  }
  for (const { offset, message, suggestion } of checked) {
    scope.reportAt(at, offset, 'bad_condition', message, suggestion);
  }
  return undefined;
}
