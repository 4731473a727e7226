import { writeFileSync } from 'node:fs';
import { processEnvironment } from '../config/environment.js';
import { watchFiles } from '../config/watch.js';
import { renderFindings } from '../document/render-findings.js';
import { Loader } from '../load/loader.js';
import { readHere } from '../load/reader.js';
import { type Arguments, type Command, type ExitCode, type Io, Misuse, text } from './command.js';
import { configFile, sourceOf } from './config-file.js';
import { renderJunit } from './junit.js';
import { readSuites, runSuites } from './run-suites.js';
import { coverageOf } from './suite-coverage.js';
import { renderResults } from './suite-report.js';

/** `countersign test`: policy test suites. */
export const test: Command = {
  name: 'test',
  summary: 'policy test suites: each failure with its trace, and what no case decided',
  operands: 'SUITE…',
  options: {
    json: { type: 'boolean' },
    junit: { type: 'string' },
    watch: { type: 'boolean', short: 'w' },
  },
  help: [
    'SUITE…              files with callers and cases',
    '--watch, -w         again whenever a file changes, until interrupted',
    '--junit FILE        results as JUnit XML as well, for CI',
    '--json              results as JSON',
  ],
  async run(args, io) {
    if (args.positionals.length === 0) throw new Misuse('SUITE is missing');
    const loader = new Loader({
      configFile: configFile(args),
      environment: processEnvironment(),
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      reader: readHere(),
    });
    if (args.values['watch'] === true) return runAgain(loader, args, io);
    const code = await runOnce(loader, args, io);
    await loader.close();
    return code;
  },
};

async function runOnce(loader: Loader, args: Arguments, io: Io): Promise<ExitCode> {
  await loader.load();
  const errors = loader.findings().filter(({ severity }) => severity === 'error');
  const { snapshot } = loader;
  if (snapshot === undefined || errors.length > 0) {
    io.err(renderFindings(errors, sourceOf));
    return 1;
  }
  const suites = readSuites(args.positionals, io);
  if (suites === undefined) return 1;
  const results = await runSuites(suites, snapshot);
  const coverage = coverageOf(results, snapshot.policy);
  io.out(
    args.values['json'] === true
      ? `${JSON.stringify({ results, undecided: coverage }, null, 2)}\n`
      : renderResults(results, coverage),
  );
  const junit = text(args, 'junit');
  if (junit !== undefined) writeFileSync(junit, renderJunit(results));
  return results.every(({ isGood }) => isGood) ? 0 : 1;
}

/**
 * Runs at once and at every change of a file, one run at a time, until it is interrupted; gives the
 * last code. The files are watched before they are read, so that no change is missed.
 */
async function runAgain(loader: Loader, args: Arguments, io: Io): Promise<ExitCode> {
  let code: ExitCode = 0;
  const again = async () => {
    try {
      code = await runOnce(loader, args, io);
    } catch (error) {
      if (!(error instanceof Misuse)) throw error;
      io.err(`${error.message}\n`);
      code = 2;
    }
    await loader.close();
  };
  await loader.load();
  let running = Promise.resolve();
  const watcher = watchFiles(
    () => [...loader.paths(), ...args.positionals],
    () => {
      running = running.then(() => {
        io.out(`\n${new Date().toISOString()}\n`);
        return again();
      });
    },
  );
  running = watcher.ready.then(again);
  return new Promise((resolve) => {
    const end = () => {
      watcher.close();
      running.then(() => resolve(code));
    };
    process.once('SIGINT', end);
    process.once('SIGTERM', end);
  });
}
