import type { Position } from '../document/document.js';
import type { FileScope, PolicyScope } from './compile.js';
import { compileFile } from './compile-file.js';
import type { CompiledRule } from './compile-rule.js';
import type { CheckedSource, ConditionEngine } from './condition.js';
import { createSet } from './create-set.js';
import type { PolicyParts } from './policy-schema.js';
import type { PolicySet } from './policy-set.js';
import type { Steps } from './steps.js';

/**
 * Policies that were checked, as plain data: what a thread that reads files can send to the thread
 * that answers, since functions do not cross.
 */
export interface PolicyDraft {
  readonly revision: string;
  readonly scope: Pick<PolicyScope, 'issuers' | 'approvals'>;
  readonly files: readonly FileDraft[];
}

interface FileDraft {
  readonly file: string;
  readonly parts: PolicyParts;
  /** What the text alone could tell, a rule each. */
  readonly known: readonly RuleDraft[];
}

interface RuleDraft {
  readonly at: Position;
  readonly when: CheckedSource | undefined;
}

/** @param compiled the rules of all documents, in order: nothing was wrong with any */
export function draftPolicies(
  documents: readonly FileScope['document'][],
  compiled: readonly CompiledRule[],
  { issuers, approvals }: PolicyScope,
  revision: string,
): PolicyDraft {
  let order = 0;
  const files = documents.map(({ file, value }) => {
    const rules = compiled.slice(order, order + value.rules.length);
    order += value.rules.length;
    const known = rules.map(({ rule: { at, when } }) => ({
      at: { line: at.line, column: at.column },
      when: when?.checked,
    }));
    return { file, parts: value, known };
  });
  return { revision, scope: { issuers, approvals }, files };
}

/** Whether a rule of it has a condition: it then needs an engine. */
export function hasConditions({ files }: PolicyDraft): boolean {
  return files.some(({ known }) => known.some(({ when }) => when !== undefined));
}

/**
 * The set that a draft was made of: the same rules in the same order, with the same revision. Throws
 * where something is wrong with it, as a draft of good policies never is.
 * @param engine absent only where no rule has a condition
 */
export function* assemblePolicies(
  { revision, scope, files }: PolicyDraft,
  engine: ConditionEngine | undefined,
): Steps<PolicySet> {
  const whole: PolicyScope = { ...scope, facts: {}, dataFiles: [] };
  const compiled: CompiledRule[] = [];
  for (const { file, parts, known } of files) {
    const start = { line: 1, column: 1 };
    const ruleOf = (path: readonly (string | number)[]) => known[Number(path[1])];
    const document = {
      file,
      value: parts,
      at: (path: readonly (string | number)[]) => ruleOf(path)?.at ?? start,
    };
    const check = (path: readonly (string | number)[]) => {
      const checked = ruleOf(path)?.when;
      return checked ?? fail(path, 'unchecked_condition');
    };
    const rules = yield* compileFile(
      document,
      whole,
      { ...refuse, conditions: { check, engine: engine ?? noEngine } },
      compiled.length,
    );
    for (const rule of rules) compiled.push(rule);
  }
  return yield* createSet(compiled, revision);
}

const noEngine: ConditionEngine = {
  plan: () => {
    throw new Error('there is no engine for conditions');
  },
};

const fail = (path: readonly (string | number)[], code: string): never => {
  throw new Error(`${code} at ${path.join('.')} of policies that were good`);
};
const refuse: Pick<FileScope, 'report' | 'reportAt' | 'warnAt' | 'isMisspelt'> = {
  report: fail,
  reportAt: (path, _, code) => fail(path, code),
  warnAt: () => {},
  isMisspelt: () => false,
};
