import type { Finding } from './finding.js';

/** Findings for a terminal: one line each, the suggestion behind it, the source line with a caret. */
export function renderFindings(
  findings: readonly Finding[],
  sourceOf: (file: string) => string | undefined,
): string {
  return findings.map((finding) => render(finding, sourceOf(finding.file))).join('');
}

function render(finding: Finding, source: string | undefined): string {
  const { file, line, column, severity, code, message, suggestion } = finding;
  const hint = suggestion === undefined ? '' : ` – ${suggestion}`;
  const head = `${file}:${line}:${column}: ${severity}: ${message}${hint} [${code}]\n`;
  const excerpt = source?.split('\n')[line - 1];
  if (excerpt === undefined || excerpt.trim() === '') return head;
  const gutter = String(line).padStart(5);
  return `${head}${gutter} | ${excerpt}\n${' '.repeat(5)} | ${' '.repeat(column - 1)}^\n`;
}
