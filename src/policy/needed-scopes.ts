import type { Expr } from '@bufbuild/cel-spec/cel/expr/syntax_pb.js';
import { literalOf, pathOf } from './condition-path.js';

/** A condition taken apart at its outermost `&&`. */
export interface NeededScopes {
  /** Scopes that the token must have, in order: parts of the form `"name" in token.scopes`. */
  readonly scopes: readonly string[];
  /** The other parts: what a scope would not help with. */
  readonly others: readonly Expr[];
}

/** RFC 6749 §3.3: what a scope is made of, and so what a challenge can name. */
const scopeToken = /^[\x21\x23-\x5B\x5D-\x7E]+$/;

/** The scopes that a condition asks for, each a part of its own; other forms are not looked into. */
export function neededScopes(expression: Expr): NeededScopes {
  const scopes: string[] = [];
  const others: Expr[] = [];
  const take = (expr: Expr): void => {
    const call = expr.exprKind.case === 'callExpr' ? expr.exprKind.value : undefined;
    if (call?.function === '_&&_') {
      for (const part of call.args) take(part);
      return;
    }
    const scope = call?.function === '@in' ? scopeOf(call.args) : undefined;
    if (scope === undefined) others.push(expr);
    else scopes.push(scope);
  };
  take(expression);
  return { scopes: [...new Set(scopes)], others };
}

function scopeOf([name, list]: readonly Expr[]): string | undefined {
  const path = list === undefined ? undefined : pathOf(list);
  const isScopes = path?.root === 'token' && path.steps.length === 1 && path.steps[0] === 'scopes';
  const scope = literalOf(name);
  return isScopes && scope !== undefined && scopeToken.test(scope) ? scope : undefined;
}
