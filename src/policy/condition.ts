import { CelScalar, celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import type { Caller } from '../identity/caller.js';
import { isJsonObject, type JsonObject, type JsonValue } from '../json/json-value.js';
import type { McpMessage, Request } from '../request/request.js';
import type { Captures } from '../request/template.js';
import { type CheckedCondition, type ConditionFault, checkCondition } from './condition-check.js';
import { conditionFunctions } from './condition-functions.js';
import { binders, type Shape, variableShapes } from './condition-variables.js';
import { neededScopes } from './needed-scopes.js';
import type { TimeWindow } from './time-window.js';

/** A compiled `when`. */
export interface Condition {
  readonly source: string;
  /** What it was made of: plain data, of which another thread can make it as well. */
  readonly checked: CheckedSource;
  /** The variables it reads: `token`, `approval`, and each with the member read, `request.body`. */
  readonly reads: ReadonlySet<string>;
  /** Scopes that it asks a token for, each in a part of its own (`"name" in token.scopes && …`). */
  readonly scopes: readonly string[];
  /** Names of request headers it reads, lower case (for the log's `full` detail). */
  readonly headers: ReadonlySet<string>;
  /** Names of query parameters it reads, `*` where they cannot be told (for the log's `full` detail). */
  readonly query: ReadonlySet<string>;
  /** Namespaces of Envoy's metadata, and of its route metadata, that it reads; `*` where they cannot be told. */
  readonly metadata: ReadonlySet<string>;
  readonly routeMetadata: ReadonlySet<string>;
  /** True, false, or an error: an expression that fails or gives no boolean. Never throws. */
  evaluate(input: ConditionInput): boolean | ConditionError;
  /** Whether all parts but `scopes` are true. Never throws. */
  holdsButForScopes(input: ConditionInput): boolean;
  /**
   * Each thing it reads with the value it sees, as JSON, for `explain`; credentials and bodies are
   * not shown.
   */
  values(input: ConditionInput): readonly { readonly name: string; readonly value: string }[];
}

export interface ConditionError {
  /** One sentence; names variables and types, never values of credentials. */
  readonly error: string;
}

/** Everything a condition can see; all of it verified or taken from Envoy before. */
export interface ConditionInput {
  readonly request: Request;
  readonly captures: Captures;
  readonly caller: Caller;
  /** Name of the policy's principal that matched; '' for none. */
  readonly principal: string;
  readonly mcp: McpMessage | undefined;
  /** The body as JSON; undefined when there is none. */
  readonly body: JsonValue | undefined;
  readonly approvalClaims: JsonObject | undefined;
  /** The posture file's entry of the caller; undefined when it lists none. */
  readonly posture: JsonObject | undefined;
  readonly facts: JsonObject;
  readonly data: JsonObject;
  readonly nowMs: number;
}

/** What the conditions of one rule may name. */
export interface ConditionScope {
  /** Captures of any of the rule's templates. */
  readonly captures: readonly string[];
  readonly facts: JsonObject;
  /** Names of the data files. */
  readonly dataFiles: readonly string[];
  /** Their content, where it is known at load. */
  readonly data?: JsonObject | undefined;
  readonly windows: ReadonlyMap<string, TimeWindow>;
}

/** A condition without a fault, and what it reads. Plain data: no functions. */
export interface CheckedSource extends Omit<CheckedCondition, 'faults'> {
  readonly source: string;
  readonly scopes: readonly string[];
  /** What would fail with the data files as they are now; they may change while it is in force. */
  readonly doubts: readonly ConditionFault[];
}

const maxLength = 4096;

/** Parses, checks and plans a CEL condition: everything that can be wrong with it is found here. */
export function checkSource(
  source: string,
  scope: ConditionScope,
): CheckedSource | readonly ConditionFault[] {
  if (source.length > maxLength) {
    return [fault(0, `a condition has at most ${maxLength} characters`)];
  }
  const parsed = parseExpression(source);
  if ('message' in parsed) return [parsed];
  const shapes = shapesOf(scope);
  const positions = parsed.sourceInfo?.positions ?? {};
  const windows = new Set(scope.windows.keys());
  const checked = checkCondition(parsed.expr, positions, shapes, windows);
  const faults = [...checked.faults, ...patternFaults(source)];
  if (faults.length > 0) return faults.sort((a, b) => a.offset - b.offset);
  const doubts =
    scope.data === undefined || !checked.reads.has('data')
      ? []
      : checkCondition(parsed.expr, positions, withData(shapes, scope.data), windows).faults;
  const { scopes, others } = neededScopes(parsed.expr);
  for (const part of [parsed.expr, ...others]) planIn(scope.windows, checked.reads, part);
  const { reads, headers, query, metadata, routeMetadata, operands, needsAllArguments } = checked;
  const found = { reads, headers, query, metadata, routeMetadata, operands, needsAllArguments };
  return { source, doubts, scopes, ...found };
}

/**
 * Makes a condition of what `checkSource` found good. Regular expressions run in linear time. The
 * result is true, false or an error; the library returns its errors as values, which are truthy, so
 * only the booleans themselves count. It is planned when it is first asked: of ten thousand
 * conditions, most wait long for that, and a plan takes ten times the memory of its source.
 */
export function createCondition(checked: CheckedSource, windows: Windows): Condition {
  const { source, reads, scopes, headers, query, metadata, routeMetadata, operands } = checked;
  const planned = (expr: Expr) => planIn(windows, reads, expr);
  let run: Run | undefined;
  return {
    source,
    checked,
    reads: readsOf(reads),
    scopes,
    headers,
    query,
    metadata,
    routeMetadata,
    evaluate: (input) => {
      try {
        run ??= planned(parse(source).expr);
        return evaluate(run, checked, input);
      } catch {
        return { error: 'the expression cannot be evaluated' };
      }
    },
    holdsButForScopes: (input) => {
      try {
        const { others } = neededScopes(parse(source).expr);
        return others.every((part) => evaluate(planned(part), checked, input) === true);
      } catch {
        return false;
      }
    },
    values: (input) => [...operands].map((name) => ({ name, value: show(name, windows, input) })),
  };
}

type Expr = ReturnType<typeof parse>['expr'];
type Windows = ReadonlyMap<string, TimeWindow>;
const noWindows: Windows = new Map();
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

function planIn(windows: Windows, reads: CheckedSource['reads'], expr: Expr) {
  return plan(environmentOf(windows, [...reads.keys()]), expr) as Run;
}

function fault(offset: number, message: string): ConditionFault {
  return { offset, message, suggestion: undefined };
}

function parseExpression(source: string): ReturnType<typeof parse> | ConditionFault {
  try {
    return parse(source);
  } catch (error) {
    const { rawMessage, location } = error as {
      rawMessage?: string;
      location?: { start?: { offset?: number } };
    };
    return fault(
      location?.start?.offset ?? 0,
      `this is not CEL: ${rawMessage ?? 'it ends too soon'}`,
    );
  }
}

function withData(shapes: Readonly<Record<string, Shape>>, data: JsonObject) {
  return { ...shapes, data: shapeOfValue(data) };
}

function shapesOf(scope: ConditionScope): Readonly<Record<string, Shape>> {
  const members = (names: readonly string[], shape: Shape) => ({
    members: Object.fromEntries(names.map((name) => [name, shape])),
  });
  return {
    ...variableShapes,
    path: members(scope.captures, 'string'),
    facts: {
      members: Object.fromEntries(
        Object.entries(scope.facts).map(([name, value]) => [name, shapeOfValue(value)]),
      ),
    },
    data: members(scope.dataFiles, 'any'),
  };
}

function shapeOfValue(value: JsonValue): Shape {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'number') return 'number';
  if (typeof value === 'boolean') return 'bool';
  if (Array.isArray(value)) return 'list';
  if (!isJsonObject(value)) return 'any';
  const members = Object.entries(value).map(([name, member]) => [name, shapeOfValue(member)]);
  return { members: Object.fromEntries(members) };
}

/** Every literal pattern of `matches` is compiled once here, so that none fails at a request. */
function patternFaults(source: string): readonly ConditionFault[] {
  const literals = source.matchAll(/\.matches\(\s*(r?"(?:[^"\\]|\\.)*"|r?'(?:[^'\\]|\\.)*')\s*\)/g);
  return [...literals].flatMap((match) => {
    const run = plan(
      environmentOf(noWindows, []),
      parse(`"".matches(${match[1]})`),
    ) as () => unknown;
    return typeof run() === 'boolean'
      ? []
      : [fault(match.index, 'the pattern is no regular expression (RE2)')];
  });
}

function readsOf(reads: CheckedSource['reads']): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [root, members] of reads) {
    names.add(root);
    const all = Object.keys(
      (variableShapes[root] as { members?: object } | undefined)?.members ?? {},
    );
    for (const member of members.has('*') ? all : members) names.add(`${root}.${member}`);
  }
  return names;
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
