import { Lexer } from 'yaml';
import { didYouMean } from './did-you-mean.js';
import type { Finding } from './finding.js';
import { type LintCode, lintCodes } from './lint-codes.js';

/** A comment `# countersign-allow CODE: reason`, and the lines whose warnings it is about. */
interface Silence {
  readonly code: string;
  readonly reason: string;
  readonly line: number;
  readonly column: number;
  /** Its own line, and, where nothing else stands there, the next one that is no comment. */
  readonly lines: readonly number[];
}

/**
 * The warnings of a file without those that a comment on their line, or alone above it, allows with a
 * reason. A comment without a reason, or that no warning needs, is a warning itself. Errors stay.
 */
export function withoutSilenced(
  file: string,
  text: string,
  findings: readonly Finding[],
): readonly Finding[] {
  const silences = text.includes('countersign-allow') ? silencesIn(text) : [];
  if (silences.length === 0) return findings;
  const isSilenced = ({ severity, code, line, ...finding }: Finding) =>
    severity === 'warning' &&
    finding.file === file &&
    silences.some((silence) => silence.code === code && silence.lines.includes(line));
  const faults = silences.flatMap((silence) => faultOf(file, silence, findings));
  return [...findings.filter((finding) => !isSilenced(finding)), ...faults];
}

function faultOf(file: string, silence: Silence, findings: readonly Finding[]): readonly Finding[] {
  const { code, reason, line, column, lines } = silence;
  const warn = (as: LintCode, message: string, suggestion?: string): readonly Finding[] => [
    { severity: 'warning', code: as, file, line, column, path: '', message, suggestion },
  ];
  if (reason === '') {
    const message = `"countersign-allow ${code}" gives no reason`;
    return warn('unexplained_silence', message, `# countersign-allow ${code}: why it is meant`);
  }
  const isNeeded = findings.some(
    (finding) => finding.file === file && finding.code === code && lines.includes(finding.line),
  );
  if (isNeeded) return [];
  return warn(
    'silent_silence',
    `nothing here is warned of as "${code}"`,
    didYouMean(code, lintCodes),
  );
}

/** A scalar follows this control character, so a `#` behind it is content. */
const scalarMark = '\u001f';

function silencesIn(text: string): readonly Silence[] {
  const source = text.split('\n');
  const found: Silence[] = [];
  let before = '';
  let line = 1;
  let column = 1;
  for (const lexeme of new Lexer().lex(text)) {
    const [, code, reason = ''] =
      /^#\s*countersign-allow\s+([a-z_]+)(?:\s*:\s*(.*?))?\s*$/.exec(lexeme) ?? [];
    if (code !== undefined && before !== scalarMark) {
      const isAlone = source[line - 1]?.slice(0, column - 1).trim() === '';
      const lines = isAlone ? [line, nextLine(source, line)] : [line];
      found.push({ code, reason, line, column, lines });
    }
    const breaks = lexeme.split('\n');
    const last = breaks[breaks.length - 1] ?? '';
    line += breaks.length - 1;
    if (!isControl(lexeme)) column = breaks.length > 1 ? last.length + 1 : column + last.length;
    before = lexeme;
  }
  return found;
}

/** Marks of the lexer that stand for no character of the text. */
function isControl(lexeme: string): boolean {
  return ['\u0002', '\u0018', scalarMark].includes(lexeme);
}

/** The first line behind `line` that is more than a comment, from 1. */
function nextLine(source: readonly string[], line: number): number {
  const next = source.findIndex((text, at) => at >= line && !/^\s*(?:#|$)/.test(text));
  return next < 0 ? line : next + 1;
}
