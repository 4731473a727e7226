import type { ReplayState } from '../replay/replay-store.js';
import { Counter, Gauge, Registry, wholeClient } from './prometheus.js';

/** The metrics of several processes as those of one. */
export interface Sum {
  /** A worker ended: what it counted up to its last scrape stays counted, and so never goes back. */
  retire(worker: number): void;
  /** Lines of the decision log that workers wrote and the primary had to drop. */
  dropped(lines: number): void;
  /** @param byWorker what each worker that answers has counted (`Metrics.counts`) */
  render(byWorker: ReadonlyMap<number, object>): Promise<{ contentType: string; text: string }>;
}

/**
 * @param size how many workers there should be
 * @param replay the memory of what was used once, which they share
 */
export function createSum(size: number, replay: () => ReplayState): Sum {
  const own = new Registry();
  const registers = [own];
  const restarts = new Counter({
    name: 'countersign_worker_restarts_total',
    help: 'Workers that ended unasked',
    registers,
  });
  const workers = new Gauge({
    name: 'countersign_workers',
    help: 'Worker processes that answer, of those that are configured',
    labelNames: ['state'],
    registers,
  });
  const dropped = new Counter({
    name: 'countersign_decision_log_dropped_total',
    help: 'Decision records that a slow or broken destination cost',
    registers,
  });
  for (const part of ['entries', 'capacity'] as const) {
    new Gauge({
      name: `countersign_replay_${part}`,
      help: 'Of the memory of what was used once, which all workers share',
      registers,
      collect() {
        this.set(replay()[part] ?? 0);
      },
    });
  }
  const last = new Map<number, object>();
  let retired: object[] = [];
  return {
    retire(worker) {
      restarts.inc();
      const counted = last.get(worker);
      last.delete(worker);
      if (counted !== undefined) retired = [...retired, onlyCounts(counted)];
    },
    dropped: (lines) => dropped.inc(lines),
    async render(byWorker) {
      const { AggregatorRegistry } = wholeClient();
      for (const [worker, counted] of byWorker) last.set(worker, counted);
      workers.set({ state: 'configured' }, size);
      workers.set({ state: 'answering' }, byWorker.size);
      // One in place of many, however often workers end.
      retired =
        retired.length > 1
          ? [await AggregatorRegistry.aggregate(retired).getMetricsAsJSON()]
          : retired;
      const all = AggregatorRegistry.aggregate([
        await own.getMetricsAsJSON(),
        ...last.values(),
        ...retired,
      ]);
      return { contentType: own.contentType, text: await all.metrics() };
    },
  };
}

/** What a process had (memory, age, state) ends with it; what it counted does not. */
function onlyCounts(counted: object): object {
  const kinds = ['counter', 'histogram'];
  return Array.isArray(counted)
    ? counted.filter((metric: { type?: string }) => kinds.includes(metric.type ?? ''))
    : [];
}
