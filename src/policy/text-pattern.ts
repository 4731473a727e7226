/** Matches a text; `*` in the pattern is any run of characters, nothing else is special. */
export type TextPattern = (text: string) => boolean;

/** Compiles a pattern without regular expressions: linear in the text, whatever the pattern. */
export function compileTextPattern(pattern: string): TextPattern {
  if (!pattern.includes('*')) return (text) => text === pattern;
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop() ?? '';
  return (text) => {
    if (text.length < head.length + tail.length) return false;
    if (!text.startsWith(head) || !text.endsWith(tail)) return false;
    const end = text.length - tail.length;
    let at = head.length;
    for (const part of rest) {
      const found = text.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}

/** Any of several patterns. */
export function compileTextPatterns(patterns: readonly string[]): TextPattern {
  const compiled = patterns.map(compileTextPattern);
  const [only] = compiled;
  if (only !== undefined && compiled.length === 1) return only;
  return (text) => compiled.some((matches) => matches(text));
}
