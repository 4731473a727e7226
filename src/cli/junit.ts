import type { Result } from './run-suites.js';
import { renderFailure } from './suite-report.js';

/** The results as JUnit XML, as CI systems read it: a test suite for each file. */
export function renderJunit(results: readonly Result[]): string {
  const files = [...new Set(results.map(({ file }) => file))];
  const suites = files.map((file) => {
    const own = results.filter((result) => result.file === file);
    return `  <testsuite ${attributes({ name: file, ...counts(own) })}>\n${own.map(testCase).join('')}  </testsuite>\n`;
  });
  const head = '<?xml version="1.0" encoding="UTF-8"?>';
  return `${head}\n<testsuites ${attributes(counts(results))}>\n${suites.join('')}</testsuites>\n`;
}

function counts(results: readonly Result[]) {
  const time = results.reduce((sum, { tookMs }) => sum + tookMs, 0) / 1000;
  return {
    tests: String(results.length),
    failures: String(results.filter(({ isGood }) => !isGood).length),
    time: time.toFixed(6),
  };
}

function testCase(result: Result): string {
  const { name, file, tookMs, isGood, wanted, got } = result;
  const open = `    <testcase ${attributes({ name, classname: file, time: (tookMs / 1000).toFixed(6) })}`;
  if (isGood) return `${open}/>\n`;
  const message = attributes({ message: `wanted ${wanted}, got ${got}` });
  return `${open}>\n      <failure ${message}>${escapeXml(renderFailure(result))}</failure>\n    </testcase>\n`;
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${escapeXml(value)}"`)
    .join(' ');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
};

/** XML 1.0 §2.2, §2.4: what XML has no character for becomes U+FFFD. */
function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, '\uFFFD')
    .replace(/[&<>"\n]/g, (found) => entities[found] ?? found);
}
