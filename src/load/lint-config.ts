import type { Config } from '../config/config-schema.js';
import type { Finding } from '../document/finding.js';
import type { PolicySet } from '../policy/policy-set.js';
import { finding } from './files.js';

/** What is allowed and doubtful in the configuration, given what the policies ask for. */
export function lintConfig(
  file: string,
  config: Config | undefined,
  policies: PolicySet | undefined,
): readonly Finding[] {
  if (config === undefined || policies === undefined) return [];
  const required = policies.rules.map((rule) => rule.require);
  const hasDpop = required.some(({ proof }) => proof === 'dpop');
  const isSingleUse =
    hasDpop ||
    required.some(({ approval }) => approval !== undefined) ||
    config.trust.jwt.some(({ singleUse }) => singleUse);
  const findings: Finding[] = [];
  if (isSingleUse && config.replay.store === 'memory') {
    const message =
      'single use holds in this process alone, until it restarts; replay: { store: valkey } is shared';
    findings.push(finding(file, 'warning', 'memory_replay', message));
  }
  if (hasDpop && config.trust.dpop.origins.length === 0) {
    const message =
      'trust.dpop.origins is empty: htu is compared with the scheme and host of the request itself';
    findings.push(finding(file, 'warning', 'dpop_origin', message));
  }
  if (config.trust.spiffe.workloadApi !== undefined) {
    const message =
      'this version does not read the Workload API: JWT-SVIDs need jwtSvid.bundles, else they are refused (bundle_unavailable)';
    findings.push(finding(file, 'warning', 'not_supported', message));
  }
  if (config.workers !== 1) {
    const message = 'this version runs one process, whatever `workers` says';
    findings.push(finding(file, 'warning', 'not_supported', message));
  }
  return findings;
}
