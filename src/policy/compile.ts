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
import type { LiteralParts } from '../request/template.js';
import { checkSource } from './check-source.js';
import { compileFileScope, compileRules, type FileReports } from './compile-file.js';
import type { CompiledRule } from './compile-rule.js';
import type { CheckedSource, ConditionEngine, ConditionScope } from './condition.js';
import type { ConditionFault } from './condition-check.js';
import { conditionEngine } from './condition-engine.js';
import { createSet } from './create-set.js';
import { lintPolicy } from './lint.js';
import { lintEvasions } from './lint-evasions.js';
import { lintSet } from './lint-set.js';
import { draftPolicies, type PolicyDraft, portionsOf, type RulePortion } from './policy-draft.js';
import { type PolicyParts, policySchema, salvageSchema } from './policy-schema.js';
import type { PolicySet } from './policy-set.js';
import type { Principal } from './principal.js';
import type { MethodSets } from './route.js';
import { finish } from './steps.js';
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
  | {
      readonly ok: true;
      readonly set: PolicySet;
      readonly warnings: readonly Finding[];
      /** The same set as plain data, for another thread: a draft, and its rules. */
      readonly draft: () => PolicyDraft;
      readonly portions: () => Iterable<RulePortion>;
    }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** What the names of one policy file stand for. */
export interface FileScope extends PolicyScope {
  readonly document: Pick<Document<PolicyParts>, 'file' | 'value' | 'at'>;
  readonly principals: ReadonlyMap<string, Principal>;
  readonly windows: ReadonlyMap<string, TimeWindow>;
  /** What rules of the file have in common, made once. */
  readonly shared: { readonly methods: MethodSets; readonly literals: LiteralParts };
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
  readonly conditions: Conditions;
}

/** How conditions are checked and run: where CEL is not needed, it is not there. */
export interface Conditions {
  /** @param path of the rule */
  readonly check: (
    path: Path,
    source: string,
    scope: ConditionScope,
  ) => CheckedSource | readonly ConditionFault[];
  readonly engine: ConditionEngine;
}

const withCel: Conditions = {
  check: (_, source, scope) => checkSource(source, scope),
  engine: conditionEngine,
};

export type Report = (path: Path, code: string, message: string, suggestion?: string) => void;

/**
 * Compiles all policy files into one immutable set, or gives everything that is wrong with all of
 * them, in order of place. The revision is a hash of the files' content, their order and the facts.
 */
export function compilePolicies(files: readonly PolicyText[], scope: PolicyScope): Compiled {
  const findings: Finding[] = [];
  const warnings: Finding[] = [];
  const compiled: CompiledRule[] = [];
  const documents: FileScope['document'][] = [];
  const ids = new Map<string, string>();
  for (const { file, text } of files) {
    const whole = parseDocument(file, text, policySchema);
    if (isRefused(whole)) findings.push(...whole);
    else warnings.push(...lintPolicy(whole, scope.issuers));
    const document = isRefused(whole) ? parseDocument(file, text, salvageSchema) : whole;
    if (isRefused(document)) continue;
    documents.push(document);
    const reports = reportsOf(document, text, findings, warnings);
    checkIds(document, ids, reports.report);
    const names = finish(compileFileScope(document, scope, reports));
    finish(compileRules(names, compiled));
  }
  if (findings.length > 0) return { ok: false, findings: findings.sort(byPosition) };
  warnings.push(...lintSet(compiled), ...lintEvasions(compiled));
  const revision = revisionOf(files, scope.facts);
  const meant = files.reduce<readonly Finding[]>(
    (left, { file, text }) => withoutSilenced(file, text, left),
    warnings,
  );
  return {
    ok: true,
    set: finish(createSet(compiled, revision)),
    warnings: [...meant].sort(byPosition),
    draft: () => draftPolicies(documents, compiled, scope, revision),
    portions: () => portionsOf(documents, compiled),
  };
}

/** Adds what is wrong with a file to `findings`, and what is doubtful to `warnings`. */
function reportsOf(
  document: Document<PolicyParts>,
  text: string,
  findings: Finding[],
  warnings: Finding[],
): FileReports {
  const lines = text.split('\n');
  const sayAt =
    (severity: Finding['severity'], list: Finding[]): FileScope['reportAt'] =>
    (path, offset, code, message, suggestion) => {
      const found = document.finding(severity, code, path, message, suggestion);
      list.push({ ...found, ...within(lines, found, offset) });
    };
  return {
    report: (path, code, message, suggestion) => {
      findings.push(document.finding('error', code, path, message, suggestion));
    },
    reportAt: sayAt('error', findings),
    warnAt: sayAt('warning', warnings),
    conditions: withCel,
    isMisspelt: (rule) =>
      findings.some(
        ({ file, code, path }) =>
          file === document.file && code === 'unknown_key' && path.startsWith(`rules[${rule}].`),
      ),
  };
}

/** The place of a character of a one-line text; of a block, the place of the block. */
function within(
  lines: readonly string[],
  { line, column }: { line: number; column: number },
  offset: number,
): { line: number; column: number } {
  const start = lines[line - 1]?.[column - 1];
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
