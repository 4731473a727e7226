import {
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument as parseYaml,
  visit,
} from 'yaml';
import type { z } from 'zod';
import type { Finding } from './finding.js';
import { explainIssue } from './issue.js';

export type Path = readonly (string | number)[];

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A file that a person wrote, valid by its schema, which still knows where everything stands. */
export interface Document<T> {
  readonly file: string;
  readonly value: T;
  /** Where the value at `path` stands; the nearest enclosing one when there is none. */
  at(path: Path): Position;
  /** Where the key of the last step of `path` stands. */
  atKey(path: Path): Position;
  /** A finding at a value of this document. */
  finding(
    severity: Finding['severity'],
    code: string,
    path: Path,
    message: string,
    suggestion?: string,
  ): Finding;
}

const maxLength = 16 * 1024 * 1024;

/**
 * Reads YAML 1.2 (or JSON) and validates it. Gives the document, or everything that is wrong with
 * it, sorted: syntax, duplicate keys, unknown keys with a suggestion, wrong types.
 */
export function parseDocument<S extends z.ZodType>(
  file: string,
  text: string,
  schema: S,
): Document<z.output<S>> | readonly Finding[] {
  const lines = new LineCounter();
  if (text.length > maxLength) {
    return [finding(file, { line: 1, column: 1 }, 'error', 'too_long', [], 'the file is too long')];
  }
  const yaml = parseYaml(text, {
    lineCounter: lines,
    uniqueKeys: true,
    merge: false,
    version: '1.2',
    prettyErrors: false,
  });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const faults = [...yaml.errors, ...yaml.warnings];
  if (faults.length > 0) {
    return faults.map((error) =>
      finding(file, position(error.pos[0]), 'error', 'not_yaml', [], plain(error.message)),
    );
  }
  const root = isNode(yaml.contents) ? yaml.contents : null;
  const lost = lostKey(root);
  if (lost !== undefined) {
    const message = 'the key "__proto__" cannot be used';
    return [finding(file, position(lost), 'error', 'wrong_key', [], message)];
  }
  const plainValue = toPlain(yaml);
  if (!plainValue.ok) {
    const { offset, why } = plainValue;
    return [finding(file, position(offset), 'error', 'not_yaml', [], why)];
  }
  const at = (path: Path) => position(nodeAt(root, path).value);
  const atKey = (path: Path) => position(nodeAt(root, path).key);
  const result = schema.safeParse(plainValue.value ?? {}, { reportInput: true });
  if (!result.success) {
    return result.error.issues
      .flatMap((issue) => explainIssue(issue, schema))
      .map((fault) =>
        finding(
          file,
          fault.onKey ? atKey(fault.path) : at(fault.path),
          'error',
          fault.code,
          fault.path,
          fault.message,
          fault.suggestion,
        ),
      )
      .sort(byPosition);
  }
  return {
    file,
    value: result.data,
    at,
    atKey,
    finding: (severity, code, path, message, suggestion) =>
      finding(file, at(path), severity, code, path, message, suggestion),
  };
}

/** Whether `parseDocument` refused. */
export function isRefused<T>(
  document: Document<T> | readonly Finding[],
): document is readonly Finding[] {
  return Array.isArray(document);
}

/** By file, then line, then column. */
export function byPosition(a: Finding, b: Finding): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}

function finding(
  file: string,
  { line, column }: Position,
  severity: Finding['severity'],
  code: string,
  path: Path,
  message: string,
  suggestion?: string,
): Finding {
  return { severity, code, file, line, column, path: pathText(path), message, suggestion };
}

function pathText(path: Path): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`))
    .join('')
    .replace(/^\./, '');
}

function plain(message: string): string {
  if (message.includes('multiple documents')) return 'a file has one document';
  return (message.split('\n')[0] ?? message).replace(/ at line \d+, column \d+:?$/, '');
}

type Value =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly offset: number; readonly why: string };

/** The document's plain value. An alias may name nothing, or aliases expand without bound. */
function toPlain(yaml: ReturnType<typeof parseYaml>): Value {
  let lost: Value | undefined;
  visit(yaml, {
    Alias: (_, alias) => {
      if (alias.resolve(yaml) !== undefined) return undefined;
      const why = `there is no anchor "${alias.source}" before this`;
      lost = { ok: false, offset: alias.range?.[0] ?? 0, why };
      return visit.BREAK;
    },
  });
  if (lost !== undefined) return lost;
  try {
    return { ok: true, value: yaml.toJS({ maxAliasCount: 100 }) };
  } catch {
    return { ok: false, offset: 0, why: 'its aliases expand to too much' };
  }
}

/** Offset of a key that objects of the language do not keep: what stands there would count as nothing. */
function lostKey(root: Node | null): number | undefined {
  let found: number | undefined;
  if (root === null) return undefined;
  visit(root, {
    Pair: (_, { key }) => {
      if (!isScalar(key) || key.value !== '__proto__') return undefined;
      found = key.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return found;
}

interface Offsets {
  readonly key: number;
  readonly value: number;
}

/** Offsets of the key and the value at `path`, or of the nearest node that exists. */
function nodeAt(root: Node | null, path: Path): Offsets {
  let node: unknown = root;
  let found: Offsets = { key: offsetOf(root, 0), value: offsetOf(root, 0) };
  for (const step of path) {
    const item = isMap(node)
      ? node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(step))
      : isSeq(node)
        ? node.items[Number(step)]
        : undefined;
    if (item === undefined) return found;
    node = isPair(item) ? item.value : item;
    const key = isPair(item) && isNode(item.key) ? offsetOf(item.key, found.value) : found.value;
    const value = isNode(node) ? offsetOf(node, key) : key;
    found = { key: isPair(item) ? key : value, value };
  }
  return found;
}

function offsetOf(node: Node | null, absent: number): number {
  return node?.range?.[0] ?? absent;
}
