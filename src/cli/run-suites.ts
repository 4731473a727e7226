import type { Snapshot } from '../check.js';
import { isRefused, parseDocument } from '../document/document.js';
import { renderFindings } from '../document/render-findings.js';
import { type Io, Misuse } from './command.js';
import { sourceOf } from './config-file.js';
import { type Explanation, explainRequest } from './explain.js';
import { callerOf, requestOf, snapshotOf } from './suite-case.js';
import { type Suite, type SuiteCase, suiteSchema } from './suite-schema.js';

/** How one case went. */
export interface Result {
  readonly file: string;
  readonly name: string;
  readonly isGood: boolean;
  readonly wanted: string;
  readonly got: string;
  readonly explanation: Explanation;
  /** Milliseconds, to the microsecond. */
  readonly tookMs: number;
}

export interface NamedSuite {
  readonly file: string;
  readonly suite: Suite;
}

/** All suites, or undefined after everything that is wrong with any of them was said. */
export function readSuites(files: readonly string[], io: Io): readonly NamedSuite[] | undefined {
  const documents = files.map((file) => {
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

/** Decides every case of the suites, in order, each on the snapshot with what the case changes. */
export async function runSuites(
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
  const startedAt = performance.now();
  const explanation = await explainRequest(requestOf(test), own, nowMs);
  const tookMs = Math.round((performance.now() - startedAt) * 1000) / 1000;
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
    tookMs,
  };
}

function words(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(' ');
}
