import { decodePercent } from './path.js';

/**
 * Reads a query as `application/x-www-form-urlencoded` (name → values in order; `+` is a blank).
 * Undefined when it cannot be read in one way only: a bad escape, or `;`, which some servers take
 * for a separator.
 */
export function parseQuery(raw: string): ReadonlyMap<string, readonly string[]> | undefined {
  const query = new Map<string, string[]>();
  if (raw === '') return query;
  if (raw.includes(';')) return undefined;
  for (const pair of raw.split('&')) {
    if (pair === '') continue;
    const mark = pair.indexOf('=');
    const name = decodePart(mark < 0 ? pair : pair.slice(0, mark));
    const value = decodePart(mark < 0 ? '' : pair.slice(mark + 1));
    if (name === undefined || value === undefined) return undefined;
    const values = query.get(name);
    if (values === undefined) query.set(name, [value]);
    else values.push(value);
  }
  return query;
}

function decodePart(text: string): string | undefined {
  return decodePercent(text.replaceAll('+', ' '));
}
