import { createHash } from 'node:crypto';
import {
  byPosition,
  type Document,
  isRefused,
  type Path,
  parseDocument,
} from '../document/document.js';
import type { Finding } from '../document/finding.js';
import { withoutSilenced } from '../document/silence.js';
import type { JsonObject } from '../json/json-value.js';
import type { Connection, Request } from '../request/request.js';
import { compilePrincipals, compileWindows } from './compile-names.js';
import { type CompiledRule, compileRule } from './compile-rule.js';
import { lintPolicy } from './lint.js';
import { lintEvasions } from './lint-evasions.js';
import { lintSet } from './lint-set.js';

import { type PolicyParts, policySchema, salvageSchema } from './policy-schema.js';
import type { Candidate, PolicySet, Rule } from './policy-set.js';
import type { Principal } from './principal.js';
import { type Address, RuleIndex } from './rule-index.js';
import type { TimeWindow } from './time-window.js';

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
  /** What the data files hold now, to warn of conditions that expect something else. */
  readonly data?: JsonObject | undefined;
}

export type Compiled =
  | { readonly ok: true; readonly set: PolicySet; readonly warnings: readonly Finding[] }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** What the names of one policy file stand for. */
export interface FileScope extends PolicyScope {
  readonly document: Document<PolicyParts>;
  readonly principals: ReadonlyMap<string, Principal>;
  readonly windows: ReadonlyMap<string, TimeWindow>;
  readonly report: Report;
  /** Whether the rule has a key that nobody knows, which may be meant for one that it lacks. */
  readonly isMisspelt: (rule: number) => boolean;
  /** Reports at a character of a text value, where its spelling in the file allows to tell. */
  readonly reportAt: (
    path: Path,
    offset: number,
    code: string,
    message: string,
    suggestion?: string,
  ) => void;
  /** As `reportAt`, of what is allowed and doubtful. */
  readonly warnAt: FileScope['reportAt'];
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
    const whole = parseDocument(file, text, policySchema);
    if (isRefused(whole)) findings.push(...whole);
    else warnings.push(...lintPolicy(whole, scope.issuers));
    const document = isRefused(whole) ? parseDocument(file, text, salvageSchema) : whole;
    if (isRefused(document)) continue;
    for (const rule of compileFile(
      document,
      text,
      scope,
      ids,
      compiled.length,
      findings,
      warnings,
    )) {
      compiled.push(rule);
    }
  }
  if (findings.length > 0) return { ok: false, findings: findings.sort(byPosition) };
  warnings.push(...lintSet(compiled), ...lintEvasions(compiled));
  const set = createSet(compiled, revisionOf(files, scope.facts));
  const meant = files.reduce<readonly Finding[]>(
    (left, { file, text }) => withoutSilenced(file, text, left),
    warnings,
  );
  return { ok: true, set, warnings: [...meant].sort(byPosition) };
}

/** The rules of one file, numbered from `order` on; what is wrong with them is added to `findings`. */
function compileFile(
  document: Document<PolicyParts>,
  text: string,
  scope: PolicyScope,
  ids: Map<string, string>,
  order: number,
  findings: Finding[],
  warnings: Finding[],
): readonly CompiledRule[] {
  const report: Report = (path, code, message, suggestion) => {
    findings.push(document.finding('error', code, path, message, suggestion));
  };
  const sayAt =
    (severity: Finding['severity'], list: Finding[]): FileScope['reportAt'] =>
    (path, offset, code, message, suggestion) => {
      const found = document.finding(severity, code, path, message, suggestion);
      list.push({ ...found, ...within(text, found, offset) });
    };
  const reportAt = sayAt('error', findings);
  const warnAt = sayAt('warning', warnings);
  checkIds(document, ids, report);
  const principals = compilePrincipals(document, scope, report);
  const windows = compileWindows(document, report);
  const isMisspelt = (rule: number) =>
    findings.some(
      ({ file, code, path }) =>
        file === document.file && code === 'unknown_key' && path.startsWith(`rules[${rule}].`),
    );
  const names = { ...scope, document, report, reportAt, warnAt, isMisspelt, principals, windows };
  const rules: CompiledRule[] = [];
  for (const index of document.value.rules.keys()) {
    const rule = compileRule(names, index, order + rules.length);
    if (rule !== undefined) rules.push(rule);
  }
  return rules;
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

function checkIds(document: Document<PolicyParts>, ids: Map<string, string>, report: Report): void {
  for (const [index, rule] of document.value.rules.entries()) {
    if (rule === undefined) continue;
    const path = ['rules', index, 'id'];
    const before = ids.get(rule.id);
    if (before !== undefined) {
      const message = `the rule id "${rule.id}" is taken by the rule at ${before}`;
      report(path, 'duplicate_rule_id', message);
    } else ids.set(rule.id, `${document.file}:${document.at(path).line}`);
  }
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
