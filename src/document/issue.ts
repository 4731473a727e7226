import type { z } from 'zod';
import { didYouMean } from './did-you-mean.js';

/** One zod issue in words that the file's author understands. */
export interface Fault {
  readonly code: string;
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly suggestion: string | undefined;
  /** Whether it is the key, not the value, that is wrong. */
  readonly onKey: boolean;
}

type Issue = z.core.$ZodIssue;

/** @param schema what the document is held to, for the keys it allows */
export function explainIssue(issue: Issue, schema: z.core.$ZodType): readonly Fault[] {
  const path = issue.path.filter((step) => typeof step !== 'symbol');
  const fault = (code: string, message: string, suggestion?: string): Fault[] => [
    { code, path, message, suggestion, onKey: false },
  ];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        code: 'unknown_key',
        path: [...path, key],
        message: `unknown key "${key}"`,
        suggestion: didYouMean(key, allowedKeys(schema, path)),
        onKey: true,
      }));
    case 'invalid_type':
      return issue.input === undefined
        ? fault('missing', `"${String(path[path.length - 1] ?? '')}" is missing`)
        : fault('wrong_type', `expected ${named(issue.expected)}, got ${typeName(issue.input)}`);
    case 'invalid_value': {
      if (issue.input === undefined) {
        return fault('missing', `"${String(path[path.length - 1] ?? '')}" is missing`);
      }
      const allowed = issue.values.map((value) => String(value));
      const given = typeof issue.input === 'string' ? `"${issue.input}" is` : 'this is';
      const near = typeof issue.input === 'string' ? didYouMean(issue.input, allowed) : undefined;
      const suggestion = near?.startsWith('did') ? near : undefined;
      return fault('wrong_value', `${given} not one of ${allowed.join(', ')}`, suggestion);
    }
    case 'invalid_union':
      if (issue.input === undefined) {
        return fault('missing', `"${String(path[path.length - 1] ?? '')}" is missing`);
      }
      return explainUnion(issue, path, schema);
    case 'too_small':
      return fault('wrong_value', `expected ${amount(issue.origin, issue.minimum)} at least`);
    case 'too_big':
      return fault('wrong_value', `expected ${amount(issue.origin, issue.maximum)} at most`);
    case 'invalid_key':
      return fault('wrong_key', issue.issues.map(({ message }) => message).join('; '));
    default:
      return fault('wrong_value', issue.message);
  }
}

function amount(origin: string, limit: number | bigint): string {
  if (origin === 'array') return `${limit} ${limit === 1 ? 'entry' : 'entries'}`;
  return origin === 'string' ? `${limit} ${limit === 1 ? 'character' : 'characters'}` : `${limit}`;
}

/** The alternative that came closest: the one whose fault lies deepest, with the fewest faults. */
function explainUnion(
  issue: Issue & { code: 'invalid_union' },
  path: readonly (string | number)[],
  schema: z.core.$ZodType,
): readonly Fault[] {
  const inner = schemasAt(schema, path);
  const union = inner.find((candidate) => defOf(candidate).type === 'union') ?? schema;
  const alternatives = issue.errors.map((issues) =>
    issues.flatMap((fault) => explainIssue(fault, union)),
  );
  const depth = (faults: readonly Fault[]) =>
    Math.max(0, ...faults.map((fault) => fault.path.length));
  const isType = (faults: readonly Fault[]) =>
    faults.some((fault) => fault.code === 'wrong_type' && fault.path.length === 0);
  const ranked = alternatives
    .filter((faults) => faults.length > 0)
    .sort(
      (a, b) => Number(isType(a)) - Number(isType(b)) || depth(b) - depth(a) || a.length - b.length,
    );
  const [best] = ranked;
  if (best === undefined)
    return [
      { code: 'wrong_value', path, message: issue.message, suggestion: undefined, onKey: false },
    ];
  if (ranked.every(isType)) {
    const message = ranked
      .map(([first]) => first?.message.replace(/^expected |, got .*$/g, ''))
      .join(' or ');
    const got = best[0]?.message.replace(/^.*, got /, '') ?? '';
    return [
      {
        code: 'wrong_type',
        path,
        message: `expected ${message}, got ${got}`,
        suggestion: undefined,
        onKey: false,
      },
    ];
  }
  return best.map((fault) => ({ ...fault, path: [...path, ...fault.path] }));
}

/** The part of zod's schema definitions that is walked here. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly element?: z.core.$ZodType;
  readonly valueType?: z.core.$ZodType;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
}

function defOf(schema: z.core.$ZodType): Definition {
  return schema._zod.def as Definition;
}

function allowedKeys(schema: z.core.$ZodType, path: readonly (string | number)[]) {
  return schemasAt(schema, path).flatMap((found) => Object.keys(defOf(found).shape ?? {}));
}

/** Every schema that may stand at `path`, wrappers and alternatives unfolded. */
function schemasAt(
  schema: z.core.$ZodType,
  path: readonly (string | number)[],
): readonly z.core.$ZodType[] {
  const here = unfold(schema);
  const [step, ...rest] = path;
  if (step === undefined) return here;
  return here.flatMap((found) => {
    const { shape, element, valueType } = defOf(found);
    const next = shape?.[String(step)] ?? element ?? valueType;
    return next === undefined ? [] : schemasAt(next, rest);
  });
}

function unfold(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  const { type, innerType, in: input, options } = defOf(schema);
  if (type === 'union') return [schema, ...(options ?? []).flatMap(unfold)];
  const inner = innerType ?? (type === 'pipe' ? input : undefined);
  return inner === undefined ? [schema] : unfold(inner);
}

function named(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    object: 'a mapping',
    record: 'a mapping',
    array: 'a list',
    string: 'a text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
  };
  return names[expected] ?? expected;
}

function typeName(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'string') return `the text "${value.slice(0, 40)}"`;
  return `${typeof value === 'boolean' ? '' : 'the number '}${String(value)}`;
}
