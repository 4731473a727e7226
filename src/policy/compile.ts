import { createHash } from 'node:crypto';
import { didYouMean } from '../document/did-you-mean.js';
import {
  byPosition,
  type Document,
  isRefused,
  type Path,
  parseDocument,
} from '../document/document.js';
import type { Finding } from '../document/finding.js';
import type { JsonObject } from '../json/json-value.js';
import type { Connection, Request } from '../request/request.js';
import { type CompiledRule, compileRule } from './compile-rule.js';
import { lintPolicy, lintSet } from './lint.js';
import { type PolicyFile, policySchema } from './policy-schema.js';
import type { Candidate, PolicySet, Rule } from './policy-set.js';
import { builtInPrincipals, compilePrincipal, type Principal } from './principal.js';
import { type Address, RuleIndex } from './rule-index.js';
import { compileTimeWindow, type TimeWindow } from './time-window.js';

export interface PolicyText {
  readonly file: string;
  readonly text: string;
}

/** What policies may refer to outside of themselves. */
export interface PolicyScope {
  /** Configured names of token issuers. */
  readonly issuers: readonly string[];
  /** Configured names of approval boards. */
  readonly approvals: readonly string[];
  readonly facts: JsonObject;
  readonly dataFiles: readonly string[];
}

export type Compiled =
  | { readonly ok: true; readonly set: PolicySet; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** What the names of one policy file stand for. */
export interface FileScope extends PolicyScope {
  readonly document: Document<PolicyFile>;
  readonly principals: ReadonlyMap<string, Principal>;
  readonly windows: ReadonlyMap<string, TimeWindow>;
  readonly report: Report;
  /** Reports at a character of a text value, where its spelling in the file allows to tell. */
  readonly reportAt: (
    path: Path,
    offset: number,
    code: string,
    message: string,
    suggestion?: string,
  ) => void;
}

export type Report = (path: Path, code: string, message: string, suggestion?: string) => void;

/**
 * Compiles all policy files into one immutable set, or gives everything that is wrong with all of
 * them, in order of place. The revision is a hash of the files' content, their order and the facts.
 */
export function compilePolicies(files: readonly PolicyText[], scope: PolicyScope): Compiled {
  const findings: Finding[] = [];
  const warnings: Finding[] = [];
  const compiled: CompiledRule[] = [];
  const ids = new Map<string, string>();
  for (const { file, text } of files) {
    const document = parseDocument(file, text, policySchema);
    if (isRefused(document)) {
      findings.push(...document);
      continue;
    }
    const report: Report = (path, code, message, suggestion) => {
      findings.push(document.finding('error', code, path, message, suggestion));
    };
    checkIds(document, ids, report);
    warnings.push(...lintPolicy(document));
    const reportAt: FileScope['reportAt'] = (path, offset, code, message, suggestion) => {
      const found = document.finding('error', code, path, message, suggestion);
      findings.push({ ...found, ...within(text, found, offset) });
    };
    const names = { ...scope, document, report, reportAt };
    const principals = compilePrincipals(document, scope, report);
    const windows = compileWindows(document, report);
    for (const index of document.value.rules.keys()) {
      const order = compiled.length;
      const rule = compileRule({ ...names, principals, windows }, index, order);
      if (rule !== undefined) compiled.push(rule);
    }
  }
  if (findings.length > 0) return { ok: false, findings: findings.sort(byPosition) };
  warnings.push(...lintSet(compiled));
  const set = createSet(compiled, revisionOf(files, scope.facts));
  return { ok: true, set, warnings: warnings.sort(byPosition) };
}

/** The place of a character of a one-line text; of a block, the place of the block. */
function within(
  text: string,
  { line, column }: { line: number; column: number },
  offset: number,
): { line: number; column: number } {
  const start = text.split('\n')[line - 1]?.[column - 1];
  if (start === '|' || start === '>') return { line, column };
  const quoted = start === '"' || start === "'" ? 1 : 0;
  return { line, column: column + quoted + offset };
}

function revisionOf(files: readonly PolicyText[], facts: JsonObject): string {
  const hash = createHash('sha256').update(JSON.stringify(facts));
  for (const { text } of files) hash.update(`\0${text.length}\0`).update(text);
  return hash.digest('hex').slice(0, 12);
}

function checkIds(document: Document<PolicyFile>, ids: Map<string, string>, report: Report): void {
  for (const [index, { id }] of document.value.rules.entries()) {
    const before = ids.get(id);
    const { line } = document.at(['rules', index, 'id']);
    if (before !== undefined) {
      const message = `the rule id "${id}" is taken by the rule at ${before}`;
      report(['rules', index, 'id'], 'duplicate_rule_id', message);
    } else ids.set(id, `${document.file}:${line}`);
  }
}

function compilePrincipals(
  document: Document<PolicyFile>,
  scope: PolicyScope,
  report: Report,
): ReadonlyMap<string, Principal> {
  const principals = new Map(builtInPrincipals);
  for (const [name, entry] of Object.entries(document.value.principals)) {
    const path = ['principals', name];
    if (builtInPrincipals.has(name)) {
      report(path, 'reserved_name', `"${name}" is built in and cannot be defined`);
      continue;
    }
    for (const issuer of entry.jwt?.issuer ?? []) {
      if (scope.issuers.includes(issuer)) continue;
      const message = `"${issuer}" is not the name of a configured issuer`;
      report(
        [...path, 'jwt', 'issuer'],
        'unknown_issuer',
        message,
        didYouMean(issuer, scope.issuers),
      );
    }
    const principal = compilePrincipal(name, entry);
    if ('match' in principal) principals.set(name, principal);
    else {
      for (const fault of principal) report([...path, ...fault.path], 'bad_pattern', fault.message);
    }
  }
  return principals;
}

function compileWindows(
  document: Document<PolicyFile>,
  report: Report,
): ReadonlyMap<string, TimeWindow> {
  const windows = new Map<string, TimeWindow>();
  for (const [name, entry] of Object.entries(document.value.windows)) {
    const path = ['windows', name];
    if (entry.from === entry.to) {
      report(
        [...path, 'to'],
        'empty_window',
        '`from` and `to` are the same: the window is never open',
      );
    }
    const window = compileTimeWindow(name, entry);
    if (window === undefined) {
      const message = `"${entry.timezone}" is not a time zone: use an IANA name such as Europe/Stockholm`;
      report([...path, 'timezone'], 'unknown_timezone', message);
    } else windows.set(name, window);
  }
  return windows;
}

function createSet(compiled: readonly CompiledRule[], revision: string): PolicySet {
  const rules = compiled.map(({ rule }) => rule);
  const requests = new RuleIndex(compiled.filter(({ rule }) => rule.route.tcp === undefined));
  const connections = new RuleIndex(compiled.filter(({ rule }) => rule.route.tcp !== undefined));
  return Object.freeze({
    revision,
    rules,
    candidates: (request: Request): readonly Candidate[] =>
      request.kind === 'http'
        ? requests.find(request)
        : connections.find(addressOf(request)).filter(({ rule }) => hasPort(rule, request)),
  });
}

const noPath = { raw: '', segments: [] };

/** The SNI stands where a request has its host. */
function addressOf({ sni }: Connection): Address {
  const name = sni.toLowerCase().replace(/\.$/, '');
  return { host: { name, port: undefined }, path: noPath };
}

function hasPort({ route }: Rule, { destination }: Connection): boolean {
  const ports = route.tcp?.ports;
  return ports === undefined || (destination.port !== undefined && ports.has(destination.port));
}
