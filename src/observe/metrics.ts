import type { Registry as PromRegistry } from 'prom-client';
import type { CheckRecord } from '../check.js';
import { DecisionCounters } from './decision-counters.js';
import { DurationHistogram } from './duration-histogram.js';
import { Counter, Gauge, Registry, wholeClient } from './prometheus.js';
import { type Observed, type StateMetric, stateMetrics } from './state-metrics.js';

export interface Metrics {
  /** Counts one decision. */
  observe(record: CheckRecord): void;
  /** The same as data, to be added to those of other processes (`createSum`). */
  counts(): Promise<object>;
  /** Prometheus text format 0.0.4. */
  render(): Promise<{ contentType: string; text: string }>;
}

/** @param read called once per scrape and metric; must be quick */
export function createMetrics(read: () => Observed): Metrics {
  const registry = new Registry();
  // What the process itself uses is not waited for: it is there when somebody asks, or a second later.
  let isWhole = false;
  const collectOfProcess = () => {
    if (!isWhole) wholeClient().collectDefaultMetrics({ register: registry });
    isWhole = true;
  };
  setTimeout(collectOfProcess, 1_000).unref();
  const decisions = new DecisionCounters(registry);
  const duration = new DurationHistogram(
    'countersign_decision_seconds',
    'Time from the CheckRequest to its answer',
    registry,
  );
  for (const metric of stateMetrics) expose(registry, metric, read);
  return {
    observe(record) {
      decisions.count(record);
      duration.add(record.durationUs);
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

function expose(registry: PromRegistry, metric: StateMetric, read: () => Observed): void {
  const { kind, name, help, labels = [], samples, ofMany = 'sum' } = metric;
  const common = { name, help, labelNames: [...labels], registers: [registry] };
  if (kind === 'counter') {
    new Counter({
      ...common,
      collect() {
        this.reset();
        for (const [labelled, value] of samples(read())) this.inc(labelled, value);
      },
    });
    return;
  }
  new Gauge({
    ...common,
    aggregator: ofMany,
    collect() {
      this.reset();
      const found = samples(read());
      // Prom-client shows 0 for what has no labels and no value, and 0 is a value.
      if (found.length === 0 && labels.length === 0) this.remove();
      for (const [labelled, value] of found) this.set(labelled, value);
    },
  });
}
