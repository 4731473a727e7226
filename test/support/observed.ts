import type { Observed } from '../../src/observe/state-metrics.js';

/** A sidecar that has loaded nothing and was asked nothing. */
export const quiet: Observed = {
  version: '1.2.3',
  isReady: false,
  inFlight: 0,
  policy: undefined,
  postureUpdatedAtMs: undefined,
  files: [],
  keySources: [],
  replay: undefined,
  decisionLog: { dropped: 0, isFailing: false },
  tracing: { sent: 0, dropped: 0 },
};
