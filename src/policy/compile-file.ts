import type { FileScope, PolicyScope } from './compile.js';
import { compilePrincipals, compileWindows } from './compile-names.js';
import { type CompiledRule, compileRule } from './compile-rule.js';
import type { Steps } from './steps.js';

/** Whom to tell of faults and doubts, and who checks conditions. */
export type FileReports = Pick<
  FileScope,
  'report' | 'reportAt' | 'warnAt' | 'isMisspelt' | 'conditions'
>;

/** Compiles the rules of one file, numbered from `order` on; a step is one rule or one principal. */
export function* compileFile(
  document: FileScope['document'],
  scope: PolicyScope,
  reports: FileReports,
  order: number,
): Steps<readonly CompiledRule[]> {
  const principals = yield* compilePrincipals(document, scope, reports.report);
  const windows = compileWindows(document, reports.report);
  const shared = { methods: new Map(), literals: new Map() };
  const names: FileScope = { ...scope, ...reports, document, principals, windows, shared };
  const rules: CompiledRule[] = [];
  for (const index of document.value.rules.keys()) {
    const rule = compileRule(names, index, order + rules.length);
    if (rule !== undefined) rules.push(rule);
    yield;
  }
  return rules;
}
