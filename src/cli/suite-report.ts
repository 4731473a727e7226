import { renderRule } from './explain.js';
import type { Result } from './run-suites.js';
import { type Coverage, renderCoverage } from './suite-coverage.js';

/** The results for a terminal: each failure with its trace, what no case decided, the counts. */
export function renderResults(results: readonly Result[], coverage: Coverage): string {
  const failed = results.filter(({ isGood }) => !isGood);
  const counts = `${results.length - failed.length} passed, ${failed.length} failed\n`;
  return `${failed.map(renderFailure).join('')}${renderCoverage(coverage)}${counts}`;
}

/** What was wanted above what came, then every rule that was judged. */
export function renderFailure({ file, name, wanted, got, explanation }: Result): string {
  const trace = explanation.rules.flatMap(renderRule).map((line) => `    ${line}`);
  const lines = [
    `✗ ${file}: ${name}`,
    `    wanted ${wanted}`,
    `    got    ${got}: ${explanation.detail}`,
  ];
  return `${[...lines, ...trace].join('\n')}\n`;
}
