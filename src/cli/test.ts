import type { Snapshot } from '../check.js';
import { processEnvironment } from '../config/environment.js';
import { isRefused, parseDocument } from '../document/document.js';
import { renderFindings } from '../document/render-findings.js';
import { Loader } from '../load/loader.js';
import { type Arguments, type Command, type ExitCode, type Io, Misuse } from './command.js';
import { type Explanation, explainRequest, renderRule } from './explain.js';
import { configFile, sourceOf } from './read-config.js';
import { callerOf, requestOf, snapshotOf } from './suite-case.js';
import { type Suite, type SuiteCase, suiteSchema } from './suite-schema.js';

/** `countersign test`: policy test suites. */
export const test: Command = {
  name: 'test',
  summary: 'policy test suites: each failure with its trace, and the rules no case decided',
  operands: 'SUITE…',
  options: { json: { type: 'boolean' } },
  help: ['SUITE…              files with callers and cases', '--json              results as JSON'],
  async run(args, io) {
    if (args.positionals.length === 0) throw new Misuse('SUITE is missing');
    const loader = new Loader({
      configFile: configFile(args),
      environment: processEnvironment(),
      nowMs: Date.now,
    });
    loader.load();
    const { snapshot } = loader;
    await loader.close();
    if (snapshot === undefined) {
      io.err(renderFindings(loader.findings(), sourceOf));
      return 1;
    }
    const suites = readSuites(args, io);
    return suites === undefined ? 1 : report(await runSuites(suites, snapshot), snapshot, args, io);
  },
};

interface NamedSuite {
  readonly file: string;
  readonly suite: Suite;
}

/** All suites, or undefined after everything that is wrong with any of them was said. */
function readSuites(args: Arguments, io: Io): readonly NamedSuite[] | undefined {
  const documents = args.positionals.map((file) => {
    const source = sourceOf(file);
    if (source === undefined) throw new Misuse(`there is no file ${file}`);
    return parseDocument(file, source, suiteSchema);
  });
  const findings = documents.flatMap((document) => (isRefused(document) ? document : []));
  if (findings.length > 0) {
    io.err(renderFindings(findings, sourceOf));
    return undefined;
  }
  return documents.flatMap((document) =>
    isRefused(document) ? [] : [{ file: document.file, suite: document.value }],
  );
}

interface Result {
  readonly file: string;
  readonly name: string;
  readonly isGood: boolean;
  readonly wanted: string;
  readonly got: string;
  readonly explanation: Explanation;
}

async function runSuites(
  suites: readonly NamedSuite[],
  snapshot: Snapshot,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const { file, suite } of suites) {
    for (const test of suite.cases) results.push(await runCase(file, suite, test, snapshot));
  }
  return results;
}

async function runCase(
  file: string,
  suite: Suite,
  test: SuiteCase,
  snapshot: Snapshot,
): Promise<Result> {
  const named = test.caller === undefined ? undefined : suite.callers[test.caller];
  if (test.caller !== undefined && named === undefined) {
    throw new Misuse(
      `${file}: "${test.name}" names the caller "${test.caller}", which is not there`,
    );
  }
  const now = test.now ?? suite.now;
  const nowMs = now === undefined ? Date.now() : Date.parse(now);
  const caller = callerOf(named, nowMs, test.name);
  const own = snapshotOf(snapshot, test, caller, nowMs);
  const explanation = await explainRequest(requestOf(test), own, nowMs);
  const want = typeof test.want === 'string' ? { effect: test.want } : test.want;
  const isGood =
    want.effect === explanation.effect &&
    (want.code === undefined || want.code === explanation.code) &&
    (want.rule === undefined || want.rule === (explanation.rule ?? ''));
  const { effect, code, rule } = explanation;
  return {
    file,
    name: test.name,
    isGood,
    wanted: words(want.effect, want.code, want.rule),
    got: words(effect, code, rule),
    explanation,
  };
}

function words(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(' ');
}

function report(results: readonly Result[], snapshot: Snapshot, args: Arguments, io: Io): ExitCode {
  const failed = results.filter(({ isGood }) => !isGood);
  const decided = new Set(results.map(({ explanation }) => explanation.rule));
  const undecided = snapshot.policy.rules.map(({ id }) => id).filter((id) => !decided.has(id));
  if (args.values['json'] === true) {
    io.out(`${JSON.stringify({ results, undecided }, null, 2)}\n`);
  } else {
    for (const result of failed) io.out(renderFailure(result));
    if (undecided.length > 0) io.out(`Rules that no case decided: ${undecided.join(', ')}\n`);
    io.out(`${results.length - failed.length} passed, ${failed.length} failed\n`);
  }
  return failed.length === 0 ? 0 : 1;
}

function renderFailure({ file, name, wanted, got, explanation }: Result): string {
  const trace = explanation.rules.flatMap(renderRule).map((line) => `    ${line}`);
  const lines = [
    `✗ ${file}: ${name}`,
    `    wanted ${wanted}`,
    `    got    ${got}: ${explanation.detail}`,
  ];
  return `${[...lines, ...trace].join('\n')}\n`;
}
