import type { Document, Path } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import { matchTemplate, type Template } from '../request/template.js';
import { parseCidr } from './address-ranges.js';
import type { PolicyFile, PrincipalEntry, RuleEntry } from './policy-schema.js';
import type { IndexedRule } from './rule-index.js';

const writes = ['POST', 'PUT', 'PATCH', 'DELETE'];

/** What is allowed and probably not meant, in one policy file; each with a code of its own. */
export function lintPolicy(document: Document<PolicyFile>): readonly Finding[] {
  const findings: Finding[] = [];
  const warn = (path: Path, code: string, message: string, suggestion?: string) =>
    findings.push(document.finding('warning', code, path, message, suggestion));
  const { principals, windows, rules } = document.value;
  const usedPrincipals = new Set(rules.flatMap((rule) => rule.principals ?? []));
  const usedWindows = new Set(rules.flatMap((rule) => rule.during ?? []));
  const conditions = rules.map(({ when }) => when ?? '').join('\n');
  for (const name of Object.keys(principals)) {
    if (usedPrincipals.has(name)) continue;
    warn(['principals', name], 'unused_principal', `no rule names the principal "${name}"`);
  }
  for (const name of Object.keys(windows)) {
    if (usedWindows.has(name) || conditions.includes(`"${name}"`)) continue;
    warn(['windows', name], 'unused_window', `no rule names the window "${name}"`);
  }
  for (const [index, rule] of rules.entries()) {
    for (const [at, text] of (rule.source ?? []).entries()) {
      const network = networkOf(text);
      if (network === undefined) continue;
      const message = `"${text}" has bits behind its prefix`;
      warn(['rules', index, 'source', at], 'cidr_host_bits', message, `it means ${network}`);
    }
    if (isBroad(rule, principals)) {
      const message = `"${rule.id}" lets a wildcard of callers write below a wildcard of paths, without a condition`;
      warn(['rules', index], 'broad_grant', message, 'name the callers, the methods or the paths');
    }
  }
  return findings;
}

/** The network that an IPv4 CIDR with host bits means; undefined where there are none. */
function networkOf(text: string): string | undefined {
  const cidr = parseCidr(text);
  if (typeof cidr === 'string' || cidr.version !== 'ipv4') return undefined;
  const octets = cidr.address.split('.').map(Number);
  const masked = octets.map((octet, at) => {
    const bits = Math.min(8, Math.max(0, cidr.prefix - at * 8));
    return octet & (256 - 2 ** (8 - bits));
  });
  const network = `${masked.join('.')}/${cidr.prefix}`;
  return masked.every((octet, at) => octet === octets[at]) ? undefined : network;
}

function isBroad(rule: RuleEntry, principals: PolicyFile['principals']): boolean {
  if (rule.effect !== 'permit' || rule.tcp !== undefined || rule.mcp !== undefined) return false;
  if (rule.when !== undefined || rule.require !== undefined || rule.source !== undefined)
    return false;
  const isWriting =
    rule.methods === undefined || rule.methods.some((name) => writes.includes(name));
  const isOpen =
    rule.grpc === undefined &&
    (rule.paths === undefined || rule.paths.some((path) => path.endsWith('/**')));
  const isWild = (rule.principals ?? []).some((name) => isWildcard(name, principals[name]));
  return isWriting && isOpen && isWild && rule.upgrade === undefined;
}

function isWildcard(name: string, entry: PrincipalEntry | undefined): boolean {
  if (entry === undefined) return name === 'anyone' || name === 'authenticated';
  const isWildSpiffe = entry.spiffe?.some((text) => text.includes('*')) === true;
  const isWildSubject =
    entry.jwt !== undefined &&
    entry.jwt.claims === undefined &&
    (entry.jwt.subject === undefined || entry.jwt.subject.includes('*'));
  return isWildSpiffe || isWildSubject;
}

/** Permit rules that can never permit, because a deny rule takes everything they are for. */
export function lintSet(rules: readonly IndexedRule[]): readonly Finding[] {
  const denies = rules.filter(
    ({ rule }) => rule.effect === 'deny' && rule.mode === 'enforce' && isUnconditional(rule),
  );
  return rules.flatMap((indexed): readonly Finding[] => {
    const { rule } = indexed;
    if (rule.effect !== 'permit' || rule.mode !== 'enforce') return [];
    const deny = denies.find((candidate) => covers(candidate, indexed));
    if (deny === undefined) return [];
    const message = `"${rule.id}" can never permit: the deny rule "${deny.rule.id}" takes all it is for`;
    const { file, line, column } = rule.at;
    const code = 'unreachable_rule';
    return [
      {
        severity: 'warning',
        code,
        file,
        line,
        column,
        path: rule.id,
        message,
        suggestion: undefined,
      },
    ];
  });
}

function isUnconditional({
  when,
  source,
  during,
  require,
  principals,
  route,
}: IndexedRule['rule']) {
  const asks = Object.values(require).some((part) => part !== undefined);
  const isForAll = principals.length === 0 || principals.some(({ name }) => name === 'anyone');
  const isPlain =
    route.grpc === undefined &&
    route.mcp === undefined &&
    route.tcp === undefined &&
    route.upgrade === undefined;
  return (
    when === undefined &&
    source === undefined &&
    during === undefined &&
    !asks &&
    isForAll &&
    isPlain
  );
}

function covers(deny: IndexedRule, permit: IndexedRule): boolean {
  if (deny.hosts !== undefined || permit.rule.route.tcp !== undefined) return false;
  const { methods } = deny.rule.route;
  const permitted = permit.rule.route.methods;
  const hasMethods =
    methods === undefined ||
    (permitted !== undefined && [...permitted].every((name) => methods.has(name)));
  if (!hasMethods) return false;
  if (deny.templates === undefined) return true;
  return (
    permit.templates?.every((template) =>
      deny.templates?.some((wider) => coversTemplate(wider, template)),
    ) === true
  );
}

/** Whether every path of `template` is one of `wider`: captures stand for a segment of their own. */
function coversTemplate(wider: Template, template: Template): boolean {
  const segments = template.parts.map((part) => (part.kind === 'literal' ? part.text : '\u0000'));
  const isOpen = template.parts.some(({ kind }) => kind === 'any');
  const isWiderOpen = wider.parts[wider.parts.length - 1]?.kind === 'any';
  return (!isOpen || isWiderOpen) && matchTemplate(wider, segments) !== undefined;
}
