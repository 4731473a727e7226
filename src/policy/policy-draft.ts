import type { Path, Position } from '../document/document.js';
import type { FileScope, PolicyScope } from './compile.js';
import { compileFileScope, compileRules } from './compile-file.js';
import type { CompiledRule } from './compile-rule.js';
import type { CheckedSource, ConditionEngine } from './condition.js';
import { createSet } from './create-set.js';
import type { PolicyParts } from './policy-schema.js';
import type { PolicySet } from './policy-set.js';
import type { Steps } from './steps.js';

/**
 * Policies that were checked, as plain data: what a thread that reads files can send to the thread
 * that answers, since functions do not cross. Their rules follow in portions.
 */
export interface PolicyDraft {
  readonly revision: string;
  readonly scope: Pick<PolicyScope, 'issuers' | 'approvals'>;
  readonly files: readonly FileDraft[];
  readonly rules: number;
  /** Whether a rule has a condition: it then needs an engine. */
  readonly hasConditions: boolean;
}

interface FileDraft {
  readonly file: string;
  /** All but its rules. */
  readonly parts: PolicyParts;
}

/** Some rules of one file, small enough to be received at once. */
export interface RulePortion {
  /** Position of the file in the draft. */
  readonly file: number;
  readonly rules: PolicyParts['rules'];
  /** What the text alone could tell, a rule each. */
  readonly known: readonly { readonly at: Position; readonly when: CheckedSource | undefined }[];
}

const portion = 20;

/** @param compiled the rules of all documents, in order: nothing was wrong with any */
export function draftPolicies(
  documents: readonly FileScope['document'][],
  compiled: readonly CompiledRule[],
  { issuers, approvals }: PolicyScope,
  revision: string,
): PolicyDraft {
  return {
    revision,
    scope: { issuers, approvals },
    files: documents.map(({ file, value }) => ({ file, parts: { ...value, rules: [] } })),
    rules: compiled.length,
    hasConditions: compiled.some(({ rule }) => rule.when !== undefined),
  };
}

/** The rules of the draft of the same documents. */
export function* portionsOf(
  documents: readonly FileScope['document'][],
  compiled: readonly CompiledRule[],
): Generator<RulePortion> {
  let order = 0;
  for (const [file, { value }] of documents.entries()) {
    for (let from = 0; from < value.rules.length; from += portion) {
      const rules = value.rules.slice(from, from + portion);
      const known = compiled.slice(order, order + rules.length).map(({ rule: { at, when } }) => ({
        at: { line: at.line, column: at.column },
        when: when?.checked,
      }));
      order += rules.length;
      yield { file, rules, known };
    }
  }
}

/**
 * The set that a draft was made of: the same rules in the same order, with the same revision. Throws
 * where something is wrong or missing, as of good policies never is.
 * @param portions taken one by one: what a rule was compiled from is garbage soon
 * @param engine absent only where no rule has a condition
 */
export function* assemblePolicies(
  draft: PolicyDraft,
  portions: Iterable<RulePortion>,
  engine: ConditionEngine = noEngine,
): Steps<PolicySet> {
  const whole: PolicyScope = { ...draft.scope, facts: {}, dataFiles: [] };
  const scopes: FileScope[] = [];
  for (const { file, parts } of draft.files) {
    const document = { file, value: parts, at: () => start };
    const conditions = { check: (path: Path) => fail(path, 'unchecked_condition'), engine };
    scopes.push(yield* compileFileScope(document, whole, { ...refuse, conditions }));
  }
  const compiled: CompiledRule[] = [];
  for (const { file, rules, known } of portions) {
    const scope = scopes[file];
    if (scope === undefined) throw new Error('rules of a file that is not there');
    yield* compileRules(scopeOfPortion(scope, rules, known), compiled);
  }
  if (compiled.length !== draft.rules) {
    throw new Error(`${compiled.length} rules of ${draft.rules} were received`);
  }
  return yield* createSet(compiled, draft.revision);
}

const start: Position = { line: 1, column: 1 };

function scopeOfPortion(
  scope: FileScope,
  rules: RulePortion['rules'],
  known: RulePortion['known'],
): FileScope {
  const { file, value } = scope.document;
  const knownOf = (path: Path) => known[Number(path[1])];
  const check = (path: Path) => knownOf(path)?.when ?? fail(path, 'unchecked_condition');
  return {
    ...scope,
    document: { file, value: { ...value, rules }, at: (path) => knownOf(path)?.at ?? start },
    conditions: { ...scope.conditions, check },
  };
}

const noEngine: ConditionEngine = {
  plan: () => {
    throw new Error('there is no engine for conditions');
  },
};

const fail = (path: Path, code: string): never => {
  throw new Error(`${code} at ${path.join('.')} of policies that were good`);
};
const refuse: Pick<FileScope, 'report' | 'reportAt' | 'warnAt' | 'isMisspelt'> = {
  report: fail,
  reportAt: (path, _, code) => fail(path, code),
  warnAt: () => {},
  isMisspelt: () => false,
};
