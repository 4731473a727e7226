import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { didYouMean } from '../document/did-you-mean.js';
import { literalChecks } from './condition-functions.js';
import { type AccessPath, isPresenceTest, literalOf, operandOf, pathOf } from './condition-path.js';
import { constantType, functions, type Type } from './condition-types.js';
import type { Shape } from './condition-variables.js';

/** Something wrong with an expression, at a character of its source. */
export interface ConditionFault {
  readonly offset: number;
  readonly message: string;
  readonly suggestion: string | undefined;
}

export interface CheckedCondition {
  readonly faults: readonly ConditionFault[];
  /** Variable → the members it reads; the member '*' where they cannot be told. */
  readonly reads: ReadonlyMap<string, ReadonlySet<string>>;
  /** Names of the headers it reads, lower case. */
  readonly headers: ReadonlySet<string>;
  /** Names of the query parameters it reads. */
  readonly query: ReadonlySet<string>;
  /** Namespaces of Envoy's metadata and of the route's that it reads; '*' where they cannot be told. */
  readonly metadata: ReadonlySet<string>;
  readonly routeMetadata: ReadonlySet<string>;
  /** What it reads, as written: `token.claims.tenant`. */
  readonly operands: ReadonlySet<string>;
  /** Whether it asks which MCP arguments there are, rather than for the value of one. */
  readonly needsAllArguments: boolean;
}

const maxNesting = 2;
/** Methods of a text, ours included. */
const textMethods = new Set([
  'startsWith',
  'endsWith',
  'contains',
  'matches',
  'inCidr',
  'isSpiffe',
]);
const comparisons = new Set(['_==_', '_!=_', '_<_', '_<=_', '_>_', '_>=_']);

/**
 * Walks a parsed expression against the declared variables: unknown names, members, captures and
 * functions, comparisons that can never be true, patterns that are no literals, and a result that
 * can never be boolean.
 */
export function checkCondition(
  expression: Expr,
  positions: Readonly<Record<string, number>>,
  shapes: Readonly<Record<string, Shape>>,
  windows: ReadonlySet<string>,
): CheckedCondition {
  const checker = new Checker(positions, shapes, windows);
  const type = checker.typeOf(expression, new Set(), 0);
  if (type !== 'bool' && type !== 'any') {
    checker.fault(expression, `a condition is true or false; this is a ${type}`);
  }
  return checker;
}

class Checker implements CheckedCondition {
  readonly faults: ConditionFault[] = [];
  readonly reads = new Map<string, Set<string>>();
  readonly headers = new Set<string>();
  readonly query = new Set<string>();
  readonly metadata = new Set<string>();
  readonly routeMetadata = new Set<string>();
  readonly operands = new Set<string>();
  needsAllArguments = false;
  readonly #positions: Readonly<Record<string, number>>;
  readonly #shapes: Readonly<Record<string, Shape>>;
  readonly #windows: ReadonlySet<string>;

  constructor(
    positions: Readonly<Record<string, number>>,
    shapes: Readonly<Record<string, Shape>>,
    windows: ReadonlySet<string>,
  ) {
    this.#positions = positions;
    this.#shapes = shapes;
    this.#windows = windows;
  }

  fault(at: Expr, message: string, suggestion?: string): void {
    this.faults.push({ offset: this.#positions[String(at.id)] ?? 0, message, suggestion });
  }

  /** @param locals variables of the comprehensions around the expression */
  typeOf(expr: Expr, locals: ReadonlySet<string>, nesting: number): Type {
    const { exprKind } = expr;
    switch (exprKind.case) {
      case 'constExpr':
        return constantType(exprKind.value.constantKind.case);
      case 'identExpr':
      case 'selectExpr':
        return this.#typeOfPath(expr, locals, nesting);
      case 'callExpr': {
        const { function: name, target, args } = exprKind.value;
        return this.#typeOfCall(expr, name, target, args, locals, nesting);
      }
      case 'listExpr':
        for (const element of exprKind.value.elements) this.typeOf(element, locals, nesting);
        return 'list';
      case 'structExpr':
        for (const { keyKind, value } of exprKind.value.entries) {
          if (keyKind.case === 'mapKey') this.typeOf(keyKind.value, locals, nesting);
          if (value !== undefined) this.typeOf(value, locals, nesting);
        }
        return 'map';
      case 'comprehensionExpr':
        return this.#typeOfComprehension(expr, locals, nesting);
      default:
        return 'any';
    }
  }

  #typeOfComprehension(expr: Expr, locals: ReadonlySet<string>, nesting: number): Type {
    if (expr.exprKind.case !== 'comprehensionExpr') return 'any';
    const { iterVar, iterVar2, accuVar, iterRange, accuInit, loopCondition, loopStep, result } =
      expr.exprKind.value;
    if (nesting >= maxNesting)
      this.fault(expr, `macros over lists nest at most ${maxNesting} deep`);
    const inner = new Set([...locals, iterVar, iterVar2, accuVar]);
    const type = accuInit === undefined ? 'any' : this.typeOf(accuInit, locals, nesting);
    if (iterRange !== undefined) this.typeOf(iterRange, locals, nesting + 1);
    for (const part of [loopCondition, loopStep, result]) {
      if (part !== undefined) this.typeOf(part, inner, nesting + 1);
    }
    // exists_one counts, and compares the count in its result.
    return type === 'number' ? 'bool' : type;
  }

  #typeOfCall(
    expr: Expr,
    name: string,
    target: Expr | undefined,
    args: readonly Expr[],
    locals: ReadonlySet<string>,
    nesting: number,
  ): Type {
    if (name === '_[_]') {
      const path = pathOf(expr);
      if (path !== undefined && !locals.has(path.root)) {
        return this.#typeOfPath(expr, locals, nesting);
      }
    }
    const all = target === undefined ? args : [target, ...args];
    const types = all.map((arg) => this.typeOf(arg, locals, nesting));
    const result = functions[name];
    if (result === undefined) {
      const known = Object.keys(functions).filter((known) => /^[a-z]/i.test(known));
      this.fault(expr, `unknown function "${name}"`, didYouMean(name, known));
      return 'any';
    }
    this.#checkArguments(expr, name, args);
    if (comparisons.has(name)) {
      this.#checkComparison(expr, types);
      for (const arg of all) this.#checkWhole(arg, locals);
    }
    if (name === '@in') this.#checkMembership(expr, types[1]);
    const receiver = types[0] ?? 'any';
    if (textMethods.has(name) && receiver !== 'string' && receiver !== 'any') {
      this.fault(expr, `${name}() is asked of a text; this is a ${receiver}`);
    }
    if (name === '_&&_' || name === '_||_' || name === '!_') this.#checkBooleans(all, types);
    return result;
  }

  #checkArguments(expr: Expr, name: string, args: readonly Expr[]): void {
    const literal = literalOf(args[0]);
    if (name === 'matches') {
      if (literal === undefined) this.fault(expr, 'the pattern of matches() is a literal text');
    } else if (name === 'inWindow') {
      if (literal === undefined || !this.#windows.has(literal)) {
        const suggestion = didYouMean(literal ?? '', [...this.#windows]);
        this.fault(expr, 'inWindow() names a window of the policy', suggestion);
      }
    } else if (literal !== undefined) {
      const message = literalChecks[name]?.(literal);
      if (message !== undefined) this.fault(expr, message);
    }
  }

  #checkComparison(expr: Expr, [left = 'any', right = 'any']: readonly Type[]): void {
    const free: readonly Type[] = ['any', 'null'];
    if (left === right || free.includes(left) || free.includes(right)) return;
    this.fault(expr, `a ${left} and a ${right} are never equal`);
  }

  /** One that has no value is seen as an empty map, and would equal another. */
  #checkWhole(arg: Expr, locals: ReadonlySet<string>): void {
    const path = pathOf(arg);
    if (path === undefined || path.steps.length > 0 || locals.has(path.root)) return;
    const shape = this.#shapes[path.root];
    if (shape === undefined || (typeof shape === 'string' && shape !== 'map')) return;
    this.fault(arg, `"${path.root}" is compared by its members`);
  }

  #checkMembership(expr: Expr, list: Type = 'any'): void {
    if (list === 'list' || list === 'map' || list === 'any') return;
    this.fault(expr, `"in" asks a list or a map; this is a ${list}`);
  }

  #checkBooleans(args: readonly Expr[], types: readonly Type[]): void {
    for (const [index, type] of types.entries()) {
      const arg = args[index];
      if (type !== 'bool' && type !== 'any' && arg !== undefined) {
        this.fault(arg, `true or false is expected here; this is a ${type}`);
      }
    }
  }

  /** A variable with the members selected from it, by name or by literal index. */
  #typeOfPath(expr: Expr, locals: ReadonlySet<string>, nesting: number): Type {
    const path = pathOf(expr);
    if (path === undefined) {
      const operand = operandOf(expr);
      if (operand !== undefined) this.typeOf(operand, locals, nesting);
      return isPresenceTest(expr) ? 'bool' : 'any';
    }
    for (const index of path.indexes) this.typeOf(index, locals, nesting);
    if (locals.has(path.root)) return isPresenceTest(expr) ? 'bool' : 'any';
    const shape = this.#shapes[path.root];
    if (shape === undefined) {
      this.fault(
        path.at,
        `unknown variable "${path.root}"`,
        didYouMean(path.root, Object.keys(this.#shapes)),
      );
      return 'any';
    }
    this.#note(path);
    // `mcp`, `mcp.arguments` and `has(mcp.arguments.x)`, but not the value of one of them.
    const isOneValue = path.steps.length > 1 && !isPresenceTest(expr);
    const isOther = path.steps[0] !== undefined && path.steps[0] !== 'arguments';
    if (path.root === 'mcp' && !isOneValue && !isOther) this.needsAllArguments = true;
    if (!isPresenceTest(expr)) return this.#walk(expr, path, shape);
    // Facts and data are the operator's own: whether a member is there may well be asked.
    const isOpen = path.root === 'facts' || path.root === 'data';
    this.#walk(expr, isOpen ? { ...path, steps: path.steps.slice(0, -1) } : path, shape);
    return 'bool';
  }

  #note({ root, steps }: AccessPath): void {
    const members = this.reads.get(root) ?? new Set();
    this.reads.set(root, members.add(steps[0] ?? '*'));
    const names = steps.map((step) => (step === undefined ? undefined : accessText(step)));
    if (names.every((name) => name !== undefined)) this.operands.add(`${root}${names.join('')}`);
    const [part, name = '*'] = steps;
    if (root === 'envoy') {
      if (part !== 'routeMetadata' && part !== 'contextExtensions') this.metadata.add(name);
      if (part !== 'metadata' && part !== 'contextExtensions') this.routeMetadata.add(name);
    }
    if (root !== 'request') return;
    if (part === undefined || part === 'headers') this.headers.add(name.toLowerCase());
    if (part === undefined || part === 'query') this.query.add(name);
  }

  #walk(expr: Expr, path: AccessPath, root: Shape): Type {
    let shape: Shape = root;
    let name = path.root;
    for (const step of path.steps) {
      if (typeof shape === 'string') {
        if (shape === 'map' || shape === 'any') return 'any';
        if (shape === 'list' && step === undefined) return 'any';
        this.fault(expr, `"${name}" is a ${shape} and has no members`);
        return 'any';
      }
      if (step === undefined) return 'any';
      const next: Shape | undefined = Object.hasOwn(shape.members, step)
        ? shape.members[step]
        : undefined;
      if (next === undefined) {
        const allowed = Object.keys(shape.members);
        this.fault(expr, `"${name}" has no "${step}"`, didYouMean(step, allowed));
        return 'any';
      }
      name = `${name}.${step}`;
      shape = next;
    }
    return typeof shape === 'string' ? shape : 'map';
  }
}

function accessText(step: string): string {
  return /^[A-Za-z_]\w*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
}
