import { CelScalar, celEnv, isCelError, parse, plan } from './cel.js';
import type {
  CheckedSource,
  ConditionEngine,
  ConditionError,
  ConditionInput,
  ConditionScope,
} from './condition.js';
import { conditionFunctions } from './condition-functions.js';
import { binders } from './condition-variables.js';
import { neededScopes } from './needed-scopes.js';

/**
 * Runs conditions. Regular expressions run in linear time. The result is true, false or an error; the
 * library returns its errors as values, which are truthy, so only the booleans themselves count.
 */
export const conditionEngine: ConditionEngine = {
  plan(checked, windows) {
    const { source, reads, operands } = checked;
    const { expr } = parse(source);
    const run = planExpression(windows, reads, expr);
    return {
      evaluate: (input) => evaluate(run, checked, input),
      holdsButForScopes: (input) =>
        neededScopes(expr).others.every(
          (part) => evaluate(planExpression(windows, reads, part), checked, input) === true,
        ),
      values: (input) => [...operands].map((name) => ({ name, value: show(name, windows, input) })),
    };
  },
};

type Expr = ReturnType<typeof parse>['expr'];
type Windows = ConditionScope['windows'];
type Run = (bindings: Record<string, unknown>) => unknown;

/** Environments by the windows of a file and the variables of a condition: making one is slow. */
const environments = new WeakMap<Windows, Map<string, ReturnType<typeof celEnv>>>();

function environmentOf(windows: Windows, names: readonly string[]): ReturnType<typeof celEnv> {
  const ofFile = environments.get(windows) ?? new Map<string, ReturnType<typeof celEnv>>();
  environments.set(windows, ofFile);
  const key = [...names].sort().join(' ');
  const known = ofFile.get(key);
  if (known !== undefined) return known;
  const variables = Object.fromEntries(names.map((name) => [name, CelScalar.DYN]));
  const environment = celEnv({ variables, funcs: conditionFunctions(windows) });
  ofFile.set(key, environment);
  return environment;
}

/** @param reads the variables that the expression may read */
export function planExpression(windows: Windows, reads: CheckedSource['reads'], expr: Expr): Run {
  return plan(environmentOf(windows, [...reads.keys()]), expr) as Run;
}

function evaluate(
  run: Run,
  { reads, needsAllArguments }: CheckedSource,
  input: ConditionInput,
): boolean | ConditionError {
  if (needsAllArguments && input.mcp?.kind === 'message' && !input.mcp.hasAllArguments) {
    return { error: "Envoy's MCP filter does not tell all arguments" };
  }
  const bindings: Record<string, unknown> = {};
  for (const [name, members] of reads) {
    const value = binders[name]?.(input, members);
    if (value === undefined) bindings[name] = absent;
    else bindings[name] = value;
  }
  const result = run(bindings);
  if (result === true || result === false) return result;
  return { error: isCelError(result) ? result.message : 'the result is neither true nor false' };
}

/** Headers whose values are credentials, and bodies. */
const hidden = /authorization|cookie|api-key|token|dpop|approval|secret|^request\.body/i;

/** The value of one operand, evaluated on its own. */
function show(name: string, windows: Windows, input: ConditionInput): string {
  if (hidden.test(name.replace(/^token\./, ''))) return '(not shown)';
  const parsed = parse(name);
  const root = name.split(/[.[]/)[0] ?? '';
  const member = name.split('.')[1] ?? '*';
  const run = plan(environmentOf(windows, [root]), parsed) as Run;
  try {
    const value = run({ [root]: binders[root]?.(input, new Set([member])) ?? absent });
    return isCelError(value) ? '(absent)' : plainJson(value);
  } catch {
    return '(absent)';
  }
}

function plainJson(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return JSON.stringify(value);
  }
  if (typeof value === 'bigint') return String(value);
  if (Symbol.iterator in Object(value)) {
    const items: unknown[] = [...(value as Iterable<unknown>)];
    return `[${items.map(plainJson).join(', ')}]`;
  }
  return value === null ? 'null' : '(an object)';
}

/** Stands for a variable that has no value: it has no members, and equals nothing of a request. */
const absent: ReadonlyMap<string, unknown> = new Map<string, unknown>();
