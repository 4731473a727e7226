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

/** A sidecar with a value in every part of its state. */
export const busy: Observed = {
  version: '1.2.3',
  isReady: true,
  inFlight: 3,
  policy: { revision: 'abc', rules: 7 },
  postureUpdatedAtMs: 1_700_000_000_000,
  files: [
    { name: 'policies', good: 2, broken: 1, isBroken: true, loadedAtMs: 1_700_000_001_000 },
    { name: 'keys corp', good: 0, broken: 4, isBroken: true, loadedAtMs: undefined },
  ],
  keySources: [
    { name: 'corp', ageMs: 1500, failures: 0 },
    { name: 'other', ageMs: undefined, failures: 2 },
  ],
  replay: { entries: 5, capacity: 10, unavailable: 1 },
  decisionLog: { dropped: 4, isFailing: true },
  tracing: { sent: 8, dropped: 2 },
};
