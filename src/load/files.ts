import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Finding } from '../document/finding.js';

export interface FileText {
  readonly file: string;
  readonly text: string;
}

/** Reads a file as UTF-8; a finding at its first line when it cannot be read. */
export function readText(file: string): FileText | Finding {
  try {
    return { file, text: readFileSync(file, 'utf8') };
  } catch (error) {
    return unreadable(file, error);
  }
}

export function unreadable(file: string, error: unknown): Finding {
  const code = (error as { code?: unknown } | null)?.code;
  const why = code === 'ENOENT' ? 'is not there' : `cannot be read (${String(code)})`;
  return finding(file, 'error', 'unreadable_file', `the file ${why}`);
}

/** A finding about a file as a whole. */
export function finding(
  file: string,
  severity: Finding['severity'],
  code: string,
  message: string,
): Finding {
  return { severity, code, file, line: 1, column: 1, path: '', message, suggestion: undefined };
}

export function isFinding(value: FileText | Finding): value is Finding {
  return 'severity' in value;
}

export function isText(value: FileText | Finding): value is FileText {
  return !isFinding(value);
}

/** Paths in a file are relative to the file that names them. */
export function beside(file: string, path: string): string {
  return resolve(dirname(file), path);
}
