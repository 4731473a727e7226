import type { Document, Path } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import type { LintCode } from '../document/lint-codes.js';
import { parseCidr } from './address-ranges.js';
import type { PolicyFile, PrincipalEntry, RuleEntry } from './policy-schema.js';

const writes = ['POST', 'PUT', 'PATCH', 'DELETE'];

/** What is allowed and probably not meant, in one policy file; each with a code of its own. */
export function lintPolicy(
  document: Document<PolicyFile>,
  issuers: readonly string[],
): readonly Finding[] {
  const findings: Finding[] = [];
  const warn = (path: Path, code: LintCode, message: string, suggestion?: string) =>
    findings.push(document.finding('warning', code, path, message, suggestion));
  const { principals, windows, rules } = document.value;
  const usedPrincipals = new Set(rules.flatMap((rule) => rule.principals ?? []));
  const usedWindows = new Set(rules.flatMap((rule) => rule.during ?? []));
  const conditions = rules.map(({ when }) => when ?? '').join('\n');
  for (const name of Object.keys(principals)) {
    if (usedPrincipals.has(name)) continue;
    warn(['principals', name], 'unused_principal', `no rule names the principal "${name}"`);
  }
  for (const [name, { jwt }] of Object.entries(principals)) {
    if (jwt === undefined || jwt.issuer !== undefined || issuers.length < 2) continue;
    const message = `"${name}" is whoever any of the ${issuers.length} issuers says so of`;
    warn(['principals', name, 'jwt'], 'any_issuer', message, 'name the issuer');
  }
  for (const name of Object.keys(windows)) {
    if (usedWindows.has(name) || isQuoted(name, conditions)) continue;
    warn(['windows', name], 'unused_window', `no rule names the window "${name}"`);
  }
  for (const [index, rule] of rules.entries()) {
    for (const [at, text] of (rule.source ?? []).entries()) {
      const path = ['rules', index, 'source', at];
      const network = networkOf(text);
      if (network !== undefined) {
        const message = `"${text}" has bits behind its prefix`;
        warn(path, 'cidr_host_bits', message, `it means ${network}`);
      }
      if (rule.effect === 'permit' && text.endsWith('/0')) {
        const message = `"${text}" is every address: the rule asks nothing of the source`;
        warn(path, 'open_source', message, 'name the networks, or leave source out');
      }
    }
    if (isBroad(rule, principals)) {
      const message = `"${rule.id}" lets a wildcard of callers write below a wildcard of paths, without a condition`;
      warn(['rules', index], 'broad_grant', message, 'name the callers, the methods or the paths');
    }
  }
  return findings;
}

/** Whether a condition may name it, as `inWindow` does. */
function isQuoted(name: string, conditions: string): boolean {
  return [`"${name}"`, `'${name}'`].some((text) => conditions.includes(text));
}

/** The network that a CIDR with host bits means; undefined where there are none. */
function networkOf(text: string): string | undefined {
  const cidr = parseCidr(text);
  if (typeof cidr === 'string') return undefined;
  const { address, prefix, version } = cidr;
  const bytes = version === 'ipv4' ? address.split('.').map(Number) : bytesOf(address);
  const masked = bytes.map((byte, at) => {
    const bits = Math.min(8, Math.max(0, prefix - at * 8));
    return byte & (256 - 2 ** (8 - bits));
  });
  if (masked.every((byte, at) => byte === bytes[at])) return undefined;
  const network = version === 'ipv4' ? masked.join('.') : ipv6Text(masked);
  return `${network}/${prefix}`;
}

/** RFC 4291 §2.2: the sixteen bytes of an IPv6 address, `::` and a dotted end included. */
function bytesOf(address: string): readonly number[] {
  const groups = canonicalGroups(address);
  return groups.flatMap((group) => [group >> 8, group & 255]);
}

function canonicalGroups(address: string): readonly number[] {
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const read = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  if (tail === undefined) return read(head);
  const [before, behind] = [read(head), read(tail)];
  return [...before, ...Array(8 - before.length - behind.length).fill(0), ...behind];
}

function ipv6Text(bytes: readonly number[]): string {
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
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
