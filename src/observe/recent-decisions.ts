import type { CheckRecord } from '../check.js';
import { decisionRecord } from './decision-record.js';

/** The last decisions as full records, to be explained while the sidecar runs. */
export interface RecentDecisions {
  /** @param credentialHeaders asked only where decisions are kept */
  keep(record: CheckRecord, credentialHeaders: () => ReadonlySet<string>): void;
  /** The record as JSON; undefined when the decision is not, or no longer, kept. */
  find(decisionId: string): string | undefined;
}

/** @param most how many are kept; the oldest goes first */
export function keepDecisions(most: () => number): RecentDecisions {
  const kept = new Map<string, string>();
  return {
    keep(record, credentialHeaders) {
      const limit = most();
      for (const id of kept.keys()) {
        if (kept.size < limit) break;
        kept.delete(id);
      }
      if (limit === 0) return;
      const time = new Date(record.nowMs).toISOString();
      const full = decisionRecord(record, 'full', credentialHeaders());
      kept.set(record.decisionId, JSON.stringify({ time, ...full }));
    },
    find: (decisionId) => kept.get(decisionId),
  };
}
