import type { Config } from '../config/config-schema.js';
import type { Document, Path } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import type { LintCode } from '../document/lint-codes.js';
import type { PolicySet, Rule } from '../policy/policy-set.js';

type Warn = (path: Path, code: LintCode, message: string, suggestion?: string) => void;

/** What is allowed and doubtful in the configuration, given what the policies ask for. */
export function lintConfig(document: Document<Config>, { rules }: PolicySet): readonly Finding[] {
  const findings: Finding[] = [];
  const warn: Warn = (path, code, message, suggestion) =>
    findings.push(document.finding('warning', code, path, message, suggestion));
  lintReplay(document.value, rules, warn);
  lintInputs(document.value, rules, warn);
  return findings;
}

function lintReplay({ trust, replay }: Config, rules: readonly Rule[], warn: Warn): void {
  const hasDpop = rules.some(({ require }) => require.proof === 'dpop');
  const isSingleUse =
    hasDpop ||
    rules.some(({ require }) => require.approval !== undefined) ||
    trust.jwt.some(({ singleUse }) => singleUse);
  if (isSingleUse && replay.store === 'memory') {
    const message =
      'single use holds in this sidecar alone, until it restarts; replay: { store: valkey } is shared';
    warn(['replay'], 'memory_replay', message);
  }
  if (hasDpop && trust.dpop.origins.length === 0) {
    const message =
      'trust.dpop.origins is empty: htu is compared with the scheme and host of the request itself';
    warn(['trust', 'dpop'], 'dpop_origin', message);
  }
}

/** Rules that wait for something that the configuration never gives them. */
function lintInputs({ limits, data }: Config, rules: readonly Rule[], warn: Warn): void {
  const [reader] = rules.filter(
    ({ route, when }) => route.mcp !== undefined || when?.reads.has('request.body') === true,
  );
  if (reader !== undefined && limits.body === 0) {
    const message = `limits.body is 0, and "${reader.id}" reads the body: every request with one is refused`;
    warn(['limits', 'body'], 'no_body', message);
  }
  const [asking] = rules.filter(({ require }) => require.posture !== undefined);
  if (asking !== undefined && data['posture'] === undefined) {
    const message = `"${asking.id}" requires posture, and data.posture names no file: it never permits`;
    warn(['data'], 'no_posture_file', message);
  }
}
