import type { FileScope, PolicyScope } from './compile.js';
import { compilePrincipals, compileWindows } from './compile-names.js';
import { type CompiledRule, compileRule } from './compile-rule.js';
import type { Steps } from './steps.js';

/** Whom to tell of faults and doubts, and who checks conditions. */
export type FileReports = Pick<
  FileScope,
  'report' | 'reportAt' | 'warnAt' | 'isMisspelt' | 'conditions'
>;

/** What the rules of a file may name; a step is one principal. */
export function* compileFileScope(
  document: FileScope['document'],
  scope: PolicyScope,
  reports: FileReports,
): Steps<FileScope> {
  const principals = yield* compilePrincipals(document, scope, reports.report);
  const windows = compileWindows(document, reports.report);
  const shared = { methods: new Map(), literals: new Map() };
  return { ...scope, ...reports, document, principals, windows, shared };
}

/** Adds the rules of the file to those compiled before; a step is one rule. */
export function* compileRules(scope: FileScope, compiled: CompiledRule[]): Steps<void> {
  for (const index of scope.document.value.rules.keys()) {
    const rule = compileRule(scope, index, compiled.length);
    if (rule !== undefined) compiled.push(rule);
    yield;
  }
}
