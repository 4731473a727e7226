import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';

export interface AccessPath {
  readonly root: string;
  readonly at: Expr;
  /** Members in order; undefined for an index that is not a literal. */
  readonly steps: readonly (string | undefined)[];
  /** Index expressions that are not literals. */
  readonly indexes: readonly Expr[];
}

/** The variable and the members that an expression selects, or undefined when it selects none. */
export function pathOf(expr: Expr): AccessPath | undefined {
  const { exprKind } = expr;
  if (exprKind.case === 'identExpr') {
    const root = exprKind.value.name.replace(/^\./, '');
    return { root, at: expr, steps: [], indexes: [] };
  }
  const operand = operandOf(expr);
  const inner = operand === undefined ? undefined : pathOf(operand);
  if (inner === undefined) return undefined;
  if (exprKind.case === 'selectExpr') {
    return { ...inner, steps: [...inner.steps, exprKind.value.field] };
  }
  const index = exprKind.case === 'callExpr' ? exprKind.value.args[1] : undefined;
  if (index === undefined) return undefined;
  const literal = literalOf(index);
  const indexes = literal === undefined ? [...inner.indexes, index] : inner.indexes;
  return { ...inner, steps: [...inner.steps, literal], indexes };
}

/** What a selection or an index is taken of. */
export function operandOf({ exprKind }: Expr): Expr | undefined {
  if (exprKind.case === 'selectExpr') return exprKind.value.operand;
  const isIndex = exprKind.case === 'callExpr' && exprKind.value.function === '_[_]';
  return isIndex ? exprKind.value.args[0] : undefined;
}

/** Whether it is `has(…)`. */
export function isPresenceTest({ exprKind }: Expr): boolean {
  return exprKind.case === 'selectExpr' && exprKind.value.testOnly;
}

export function literalOf(expr: Expr | undefined): string | undefined {
  if (expr?.exprKind.case !== 'constExpr') return undefined;
  const { constantKind } = expr.exprKind.value;
  return constantKind.case === 'stringValue' ? constantKind.value : undefined;
}
