import type { CheckRecord } from '../check.js';
import { Counter, Gauge, Histogram, Registry, wholeClient } from './prometheus.js';

export interface Metrics {
  /** Counts one decision. */
  observe(record: CheckRecord): void;
  droppedRecord(): void;
  /** One load of one thing (`policies`, `data posture`, …), good or broken. */
  reloaded(what: string, isGood: boolean): void;
  /** The policy in force. */
  policy(revision: string, rules: number, nowMs: number): void;
  /** How the sources of keys do that are not files. Ages in milliseconds, undefined: not yet known. */
  keySources(
    states: readonly {
      readonly name: string;
      readonly ageMs: number | undefined;
      readonly failures: number;
    }[],
  ): void;
  /** The same as data, to be added to those of other processes (`createSum`). */
  counts(): Promise<object>;
  /** Prometheus text format 0.0.4. */
  render(): Promise<{ contentType: string; text: string }>;
}

/** Rules beyond this many share the label `other`: a label's values are memory in every scraper. */
const maxRuleLabels = 1000;
const buckets = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
];

export function createMetrics(): Metrics {
  const registry = new Registry();
  // What the process itself uses is not waited for: it is there when somebody asks, or a second later.
  let isWhole = false;
  const collectOfProcess = () => {
    if (!isWhole) wholeClient().collectDefaultMetrics({ register: registry });
    isWhole = true;
  };
  setTimeout(collectOfProcess, 1_000).unref();
  const registers = [registry];
  const decisions = new Counter({
    name: 'countersign_decisions_total',
    help: 'Decisions by effect, code and determining rule',
    labelNames: ['effect', 'code', 'rule'],
    registers,
  });
  const duration = new Histogram({
    name: 'countersign_decision_seconds',
    help: 'Time from the CheckRequest to its answer',
    buckets,
    registers,
  });
  const shadows = new Counter({
    name: 'countersign_shadow_flips_total',
    help: 'Decisions that a rule in shadow mode would have turned',
    labelNames: ['rule', 'effect'],
    registers,
  });
  const dropped = new Counter({
    name: 'countersign_decision_log_dropped_total',
    help: 'Decision records that a slow destination cost',
    registers,
  });
  const reloads = new Counter({
    name: 'countersign_reloads_total',
    help: 'Loads of configuration, policies, data and keys',
    labelNames: ['what', 'result'],
    registers,
  });
  const info = new Gauge({
    name: 'countersign_policy_info',
    aggregator: 'max',
    help: 'The policy revision in force, and its number of rules',
    labelNames: ['revision'],
    registers,
  });
  const loadedAt = new Gauge({
    name: 'countersign_policy_loaded_timestamp_seconds',
    aggregator: 'min',
    help: 'When the policy in force was loaded',
    registers,
  });
  const keyAge = new Gauge({
    name: 'countersign_keys_age_seconds',
    aggregator: 'max',
    help: 'Age of remote keys; of a Workload API stream, how long it has been away',
    labelNames: ['source'],
    registers,
  });
  const keyFailures = new Gauge({
    name: 'countersign_keys_failures',
    aggregator: 'max',
    help: 'Failed attempts to get keys since the last good one',
    labelNames: ['source'],
    registers,
  });
  const ruleLabels = new Set<string>();
  const ruleLabel = (id: string | undefined): string => {
    if (id === undefined) return '';
    if (ruleLabels.size < maxRuleLabels) ruleLabels.add(id);
    return ruleLabels.has(id) ? id : 'other';
  };
  return {
    observe({ decision, durationUs }) {
      const { effect, code } = decision;
      decisions.inc({ effect, code, rule: ruleLabel(decision.rule?.id) });
      duration.observe(durationUs / 1e6);
      for (const shadow of decision.shadow) {
        if (shadow.effect === effect) continue;
        shadows.inc({ rule: ruleLabel(shadow.rule), effect: shadow.effect });
      }
    },
    droppedRecord: () => dropped.inc(),
    reloaded: (what, isGood) => reloads.inc({ what, result: isGood ? 'good' : 'broken' }),
    policy(revision, rules, nowMs) {
      info.reset();
      info.set({ revision }, rules);
      loadedAt.set(nowMs / 1000);
    },
    keySources(states) {
      keyAge.reset();
      keyFailures.reset();
      for (const { name: source, ageMs, failures } of states) {
        if (ageMs !== undefined) keyAge.set({ source }, ageMs / 1000);
        keyFailures.set({ source }, failures);
      }
    },
    counts: () => {
      collectOfProcess();
      return registry.getMetricsAsJSON();
    },
    render: async () => {
      collectOfProcess();
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}
