/** The state of the sidecar that a scrape shows: read when somebody scrapes, never for a decision. */
export interface Observed {
  readonly version: string;
  readonly isReady: boolean;
  readonly inFlight: number;
  readonly policy: { readonly revision: string; readonly rules: number } | undefined;
  /** `updatedAt` of the posture file in force, epoch milliseconds. */
  readonly postureUpdatedAtMs: number | undefined;
  /** How each thing that is loaded from files does: `configuration`, `policies`, `data posture`, … */
  readonly files: readonly {
    readonly name: string;
    /** Loads so far that were good, and broken. */
    readonly good: number;
    readonly broken: number;
    readonly isBroken: boolean;
    /** When the content in force was loaded, epoch milliseconds. */
    readonly loadedAtMs: number | undefined;
  }[];
  /** How the sources of keys do that are not files; no age: they gave none yet. */
  readonly keySources: readonly {
    readonly name: string;
    readonly ageMs: number | undefined;
    readonly failures: number;
  }[];
  readonly replay:
    | {
        readonly entries: number | undefined;
        readonly capacity: number | undefined;
        readonly unavailable: number;
      }
    | undefined;
  readonly decisionLog: { readonly dropped: number; readonly isFailing: boolean };
  readonly tracing: { readonly sent: number; readonly dropped: number };
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** One metric that is a view of the state. */
export interface StateMetric {
  readonly kind: 'gauge' | 'counter';
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  /** What a gauge of several workers is; a counter is always their sum. */
  readonly ofMany?: 'sum' | 'min' | 'max';
  readonly samples: (state: Observed) => readonly Sample[];
}

/** A sample without labels, or none where there is no value. */
const one = (value: number | undefined): readonly Sample[] =>
  value === undefined ? [] : [[{}, value]];
const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);
const bit = (value: boolean) => (value ? 1 : 0);

/** Every metric that is no count of decisions; docs/metrics.md has the same list. */
export const stateMetrics: readonly StateMetric[] = [
  {
    kind: 'gauge',
    name: 'countersign_build_info',
    ofMany: 'max',
    help: 'The version that runs, and its Node.js',
    labels: ['version', 'node'],
    samples: ({ version }) => [[{ version, node: process.version }, 1]],
  },
  {
    kind: 'gauge',
    name: 'countersign_ready',
    ofMany: 'min',
    help: '1 once everything was loaded and decisions are made',
    samples: ({ isReady }) => one(bit(isReady)),
  },
  {
    kind: 'gauge',
    name: 'countersign_in_flight',
    help: 'Checks that wait for their answer',
    samples: ({ inFlight }) => one(inFlight),
  },
  {
    kind: 'gauge',
    name: 'countersign_policy_info',
    ofMany: 'max',
    help: 'The policy revision in force',
    labels: ['revision'],
    samples: ({ policy }) => (policy === undefined ? [] : [[{ revision: policy.revision }, 1]]),
  },
  {
    kind: 'gauge',
    name: 'countersign_policy_rules',
    ofMany: 'max',
    help: 'Rules of the policy in force',
    samples: ({ policy }) => one(policy?.rules),
  },
  {
    kind: 'gauge',
    name: 'countersign_posture_updated_timestamp_seconds',
    ofMany: 'min',
    help: 'updatedAt of the posture file in force',
    samples: ({ postureUpdatedAtMs }) => one(seconds(postureUpdatedAtMs)),
  },
  {
    kind: 'counter',
    name: 'countersign_reloads_total',
    help: 'Contents that were loaded: configuration, policies, data and key files',
    labels: ['what', 'result'],
    samples: ({ files }) =>
      files.flatMap(({ name: what, good, broken }): readonly Sample[] => [
        [{ what, result: 'good' }, good],
        [{ what, result: 'broken' }, broken],
      ]),
  },
  {
    kind: 'gauge',
    name: 'countersign_files_broken',
    ofMany: 'max',
    help: '1 while the files as they are now cannot be used, and the last good ones are in force',
    labels: ['what'],
    samples: ({ files }) => files.map(({ name: what, isBroken }) => [{ what }, bit(isBroken)]),
  },
  {
    kind: 'gauge',
    name: 'countersign_loaded_timestamp_seconds',
    ofMany: 'min',
    help: 'When the content in force was loaded',
    labels: ['what'],
    samples: ({ files }) =>
      files.flatMap(({ name: what, loadedAtMs }): readonly Sample[] =>
        loadedAtMs === undefined ? [] : [[{ what }, loadedAtMs / 1000]],
      ),
  },
  {
    kind: 'gauge',
    name: 'countersign_keys_age_seconds',
    ofMany: 'max',
    help: 'Age of remote keys; of a Workload API stream, how long it has been away',
    labels: ['source'],
    samples: ({ keySources }) =>
      keySources.flatMap(({ name: source, ageMs }): readonly Sample[] =>
        ageMs === undefined ? [] : [[{ source }, ageMs / 1000]],
      ),
  },
  {
    kind: 'gauge',
    name: 'countersign_keys_failures',
    ofMany: 'max',
    help: 'Failed attempts to get keys since the last good one',
    labels: ['source'],
    samples: ({ keySources }) =>
      keySources.map(({ name: source, failures }) => [{ source }, failures]),
  },
  {
    kind: 'gauge',
    name: 'countersign_replay_entries',
    help: 'Single-use credentials that the memory store remembers',
    samples: ({ replay }) => one(replay?.entries),
  },
  {
    kind: 'gauge',
    name: 'countersign_replay_capacity',
    help: 'How many the memory store can remember; at that many it refuses',
    samples: ({ replay }) => one(replay?.capacity),
  },
  {
    kind: 'counter',
    name: 'countersign_replay_unavailable_total',
    help: 'Single-use credentials that the replay store gave no answer on',
    samples: ({ replay }) => one(replay?.unavailable ?? 0),
  },
  {
    kind: 'counter',
    name: 'countersign_decision_log_dropped_total',
    help: 'Decision records that a slow or broken destination cost',
    samples: ({ decisionLog }) => one(decisionLog.dropped),
  },
  {
    kind: 'gauge',
    name: 'countersign_decision_log_failing',
    ofMany: 'max',
    help: '1 while the last attempt to write the decision log failed',
    samples: ({ decisionLog }) => one(bit(decisionLog.isFailing)),
  },
  {
    kind: 'counter',
    name: 'countersign_trace_spans_sent_total',
    help: 'Spans that the collector took',
    samples: ({ tracing }) => one(tracing.sent),
  },
  {
    kind: 'counter',
    name: 'countersign_trace_spans_dropped_total',
    help: 'Spans that were lost to a full queue or a collector that refused them',
    samples: ({ tracing }) => one(tracing.dropped),
  },
];
