import { didYouMean } from '../document/did-you-mean.js';
import type { Path } from '../document/document.js';
import { parseTemplate, type Template } from '../request/template.js';
import { type AddressRanges, compileAddressRanges, parseCidr } from './address-ranges.js';
import type { FileScope } from './compile.js';
import { type Condition, compileCondition } from './condition.js';
import { type HostPattern, parseHostPattern } from './host-pattern.js';
import type { RuleEntry } from './policy-schema.js';
import type { Requirements } from './policy-set.js';
import type { Principal } from './principal.js';
import { compileRoute, parseGrpcMethod } from './route.js';
import type { IndexedRule } from './rule-index.js';
import type { TimeWindow } from './time-window.js';

export type CompiledRule = IndexedRule;

/** Compiles one rule of a file, reporting everything that is wrong with it; undefined when a part is missing. */
export function compileRule(
  scope: FileScope,
  index: number,
  order: number,
): CompiledRule | undefined {
  const { document } = scope;
  const entry = document.value.rules[index];
  if (entry === undefined) return undefined;
  const path: Path = ['rules', index];
  checkKeys(entry, path, scope);
  const templates = compileTemplates(entry, path, scope);
  const hosts = compileHosts(entry, path, scope) ?? compileSni(entry, path, scope);
  const rule = {
    id: entry.id,
    policy: document.value.policy,
    description: entry.description,
    effect: entry.effect,
    mode: entry.mode ?? document.value.mode ?? 'enforce',
    controls: entry.controls ?? [],
    at: { file: document.file, ...document.at(path) },
    order,
    route: compileRoute(entry, templates),
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
  if (entry.effect === 'permit' && entry.principals === undefined) {
    report(
      path,
      'missing_principals',
      `the permit "${entry.id}" does not say for whom`,
      'add principals: [authenticated], or anyone',
    );
  }
  for (const [at, text] of (entry.grpc ?? []).entries()) {
    if (parseGrpcMethod(text) !== undefined) continue;
    report([...path, 'grpc', at], 'bad_grpc', 'a gRPC call is pkg.Service/Method or pkg.Service/*');
  }
  if (entry.tcp !== undefined) {
    const keys = ['hosts', 'methods', 'paths', 'grpc', 'mcp', 'upgrade'] as const;
    for (const key of keys) {
      if (entry[key] === undefined) continue;
      report(
        [...path, key],
        'wrong_kind',
        `a rule with tcp is for connections, which have no ${key}`,
      );
    }
    if (entry.require?.approval !== undefined) {
      report([...path, 'require', 'approval'], 'wrong_kind', 'a connection carries no approval');
    }
  }
}

function compileTemplates(
  entry: RuleEntry,
  path: Path,
  { report }: FileScope,
): readonly Template[] | undefined {
  return entry.paths?.flatMap((text, at) => {
    const template = parseTemplate(text);
    if (typeof template !== 'string') return [template];
    report([...path, 'paths', at], 'bad_path', template);
    return [];
  });
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
  return (entry.principals ?? []).flatMap((name, at) => {
    const principal = principals.get(name);
    if (principal !== undefined) return [principal];
    const suggestion = didYouMean(name, [...principals.keys()]);
    const message = `"${name}" is not a principal of this policy`;
    report([...path, 'principals', at], 'unknown_principal', message, suggestion);
    return [];
  });
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
  { windows, document, report }: FileScope,
): readonly TimeWindow[] | undefined {
  return entry.during?.flatMap((name, at) => {
    const window = windows.get(name);
    if (window !== undefined) return [window];
    const known = Object.keys(document.value.windows);
    // A window that is there but wrong is reported where it stands.
    if (!known.includes(name)) {
      const message = `"${name}" is not a window of this policy`;
      report([...path, 'during', at], 'unknown_window', message, didYouMean(name, known));
    }
    return [];
  });
}

function compileRequirements(
  entry: RuleEntry,
  path: Path,
  { approvals, report }: FileScope,
): Requirements {
  const { approval, posture, maxTokenAge, proof } = entry.require ?? {};
  for (const board of approval?.from ?? []) {
    if (approvals.includes(board)) continue;
    const message = `"${board}" is not the name of a configured approval board`;
    const at = [...path, 'require', 'approval', 'from'];
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
  const { facts, dataFiles, windows } = scope;
  const condition = compileCondition(entry.when, { captures, facts, dataFiles, windows });
  if ('evaluate' in condition) return condition;
  const at = [...path, 'when'];
  for (const { offset, message, suggestion } of condition) {
    scope.reportAt(at, offset, 'bad_condition', message, suggestion);
  }
  return undefined;
}
