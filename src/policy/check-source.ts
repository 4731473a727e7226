import { isJsonObject, type JsonObject, type JsonValue } from '../json/json-value.js';
import { parse } from './cel.js';
import type { CheckedSource, ConditionScope } from './condition.js';
import { type ConditionFault, checkCondition } from './condition-check.js';
import { planExpression } from './condition-engine.js';
import { type Shape, variableShapes } from './condition-variables.js';
import { neededScopes } from './needed-scopes.js';

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
  for (const part of [parsed.expr, ...others]) planExpression(scope.windows, checked.reads, part);
  const { reads, headers, query, metadata, routeMetadata, operands, needsAllArguments } = checked;
  const found = { reads, headers, query, metadata, routeMetadata, operands, needsAllArguments };
  return { source, names: namesOf(reads), doubts, scopes, ...found };
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
    const run = planExpression(new Map(), new Map(), parse(`"".matches(${match[1]})`).expr);
    return typeof run({}) === 'boolean'
      ? []
      : [fault(match.index, 'the pattern is no regular expression (RE2)')];
  });
}

/** Variables, and each with the members that are read. */
function namesOf(reads: CheckedSource['reads']): ReadonlySet<string> {
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
