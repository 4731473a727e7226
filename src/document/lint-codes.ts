/**
 * Every warning there is: what is allowed and probably not meant. `docs/lint.md` explains each with an
 * example that a test runs.
 */
export const lintCodes = [
  'any_issuer',
  'broad_grant',
  'cidr_host_bits',
  'covered_rule',
  'data_shape',
  'deny_grpc',
  'deny_slash',
  'dpop_origin',
  'memory_replay',
  'no_body',
  'no_posture_file',
  'open_source',
  'silent_silence',
  'skipped_key',
  'unreachable_rule',
  'unused_principal',
  'unused_window',
  'unexplained_silence',
] as const;

export type LintCode = (typeof lintCodes)[number];
