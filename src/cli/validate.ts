import { processEnvironment } from '../config/environment.js';
import { byPosition } from '../document/document.js';
import { renderFindings } from '../document/render-findings.js';
import { Loader } from '../load/loader.js';
import type { Command } from './command.js';
import { configFile, countOf, sourceOf } from './read-config.js';

/** `countersign validate`: everything that is wrong with the files, with line and column. */
export const validate: Command = {
  name: 'validate',
  summary: 'all errors and warnings of the configuration, policies, data and keys',
  operands: '',
  options: { strict: { type: 'boolean' }, json: { type: 'boolean' } },
  help: ['--strict            warnings count as errors', '--json              findings as JSON'],
  async run(args, io) {
    const loader = new Loader({
      configFile: configFile(args),
      environment: processEnvironment(),
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
    });
    loader.load();
    const findings = [...loader.findings()].sort(byPosition);
    const errors = countOf(findings, 'error');
    const warnings = countOf(findings, 'warning');
    const policy = loader.snapshot?.policy;
    await loader.close();
    if (args.values['json'] === true) {
      io.out(
        `${JSON.stringify({ errors, warnings, revision: policy?.revision, findings }, null, 2)}\n`,
      );
    } else {
      io.out(renderFindings(findings, sourceOf));
      const rules =
        policy === undefined ? '' : `${policy.rules.length} rules, revision ${policy.revision}; `;
      io.out(`${rules}${plural(errors, 'error')}, ${plural(warnings, 'warning')}\n`);
    }
    return errors > 0 || (args.values['strict'] === true && warnings > 0) ? 1 : 0;
  },
};

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
