/** A compiled path template (PRODUCT.md, Policy files). */
export interface Template {
  readonly source: string;
  readonly parts: readonly TemplatePart[];
}

export type TemplatePart =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'capture'; readonly name: string }
  /** `*` */
  | { readonly kind: 'one' }
  /** `**` */
  | { readonly kind: 'any' };

/** Literal parts by their text. */
export type LiteralParts = Map<string, TemplatePart>;

/** Capture name → decoded segment. Null prototype. */
export type Captures = { readonly [name: string]: string };

/**
 * Compiles a template over decoded path segments, or says in one sentence what is allowed.
 * `{name}` captures one segment, `*` matches one, `**` any number: last, or before a literal.
 * @param literals parts of other templates, which this one may have as well
 */
export function parseTemplate(text: string, literals: LiteralParts = new Map()): Template | string {
  if (!text.startsWith('/')) return 'a path begins with "/"';
  const segments = text.slice(1).split('/');
  const parts: TemplatePart[] = [];
  for (const [index, segment] of segments.entries()) {
    const part = parsePart(segment, index === segments.length - 1, literals);
    if (typeof part === 'string') return part;
    parts.push(part);
  }
  // A copy takes the room of its members, what was grown by `push` that of seventeen.
  return templateFault(parts) ?? { source: text, parts: parts.slice() };
}

const any: TemplatePart = { kind: 'any' };
const one: TemplatePart = { kind: 'one' };

function parsePart(
  segment: string,
  isLast: boolean,
  literals: LiteralParts,
): TemplatePart | string {
  if (segment === '**') return any;
  if (segment === '*') return one;
  const name = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(segment)?.[1];
  if (name !== undefined) return { kind: 'capture', name };
  if (segment === '' && !isLast) return 'an empty segment ("//") is never delivered';
  if (segment === '.' || segment === '..') return 'a dot segment is never delivered';
  if (/[*{}]/.test(segment)) {
    return `"${segment}" is not a segment: "{name}", "*" and "**" are whole segments`;
  }
  if (/[\\;#?%\p{Cc}]/u.test(segment)) {
    return `"${segment}" can never match: a path with \\ ; # ? % or a control character is refused, and templates are written decoded`;
  }
  const part = literals.get(segment) ?? { kind: 'literal', text: segment };
  literals.set(segment, part);
  return part;
}

function templateFault(parts: readonly TemplatePart[]): string | undefined {
  const names = parts.flatMap((part) => (part.kind === 'capture' ? [part.name] : []));
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) return `"{${repeated}}" is captured twice`;
  const first = parts.findIndex(({ kind }) => kind === 'any');
  const last = parts.findLastIndex(({ kind }) => kind === 'any');
  for (const [index, part] of parts.entries()) {
    const next = parts[index + 1];
    if (part.kind === 'any' && next !== undefined && next.kind !== 'literal') {
      return '"**" stands last or before a literal segment';
    }
    if (part.kind === 'capture' && index > first && index < last) {
      return `"{${part.name}}" between two "**" could be more than one segment`;
    }
  }
  return undefined;
}

/**
 * The captures of a path's decoded segments under a template, or undefined when it does not match.
 * A trailing slash (a last empty segment) is matched by itself or by `**` alone.
 */
export function matchTemplate(
  template: Template,
  segments: readonly string[],
): Captures | undefined {
  const { parts } = template;
  const captures: { [name: string]: string } = Object.create(null);
  let part = 0;
  let at = 0;
  // Where to go on from when a literal behind the last `**` turns out not to match.
  let retryPart = -1;
  let retryAt = -1;
  while (at < segments.length) {
    const current = parts[part];
    if (current?.kind === 'any') {
      if (part === parts.length - 1) return captures;
      retryPart = part + 1;
      retryAt = at;
      part += 1;
    } else if (current !== undefined && matchPart(current, segments[at] ?? '', captures)) {
      part += 1;
      at += 1;
    } else if (retryPart >= 0) {
      retryAt += 1;
      at = retryAt;
      part = retryPart;
    } else return undefined;
  }
  while (parts[part]?.kind === 'any') part += 1;
  return part === parts.length ? captures : undefined;
}

function matchPart(
  part: TemplatePart,
  segment: string,
  captures: { [name: string]: string },
): boolean {
  if (part.kind === 'literal') return part.text === segment;
  if (segment === '') return false;
  if (part.kind === 'capture') captures[part.name] = segment;
  return true;
}
