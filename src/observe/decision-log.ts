import { type DestinationStream, pino } from 'pino';
import type { CheckRecord } from '../check.js';
import { type Detail, decisionRecord } from './decision-record.js';

export interface DecisionLogOptions {
  /** `stdout`, a file's path, or `off`. */
  readonly to: string;
  /** Share of permits that are written, 0–1; denies always are. */
  readonly permits: number;
  readonly detail: Detail;
  readonly credentialHeaders: ReadonlySet<string>;
}

export interface DecisionLog {
  write(record: CheckRecord): void;
  /** Writes what is buffered. */
  flush(): void;
}

/** Bytes that wait for a slow disk or pipe before records are dropped. */
const maxBufferBytes = 16 * 1024 * 1024;

/**
 * Writes one JSON line per decision, without ever making an answer wait: a destination that cannot
 * keep up costs records, which `onDrop` counts.
 * @param random 0 ≤ x < 1, for the share of permits
 */
export function createDecisionLog(
  options: DecisionLogOptions,
  random: () => number,
  onDrop: () => void,
): DecisionLog {
  if (options.to === 'off') return { write: () => {}, flush: () => {} };
  const destination = pino.destination({
    dest: options.to === 'stdout' ? 1 : options.to,
    sync: false,
    mkdir: true,
    maxLength: maxBufferBytes,
  });
  destination.on('drop', onDrop);
  destination.on('error', onDrop);
  const logger = decisionLogger(destination);
  return {
    write(record) {
      if (record.decision.effect === 'permit' && random() >= options.permits) return;
      logger.info(decisionRecord(record, options.detail, options.credentialHeaders), 'decision');
    },
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // A destination that was never opened has nothing to write.
      }
    },
  };
}

function decisionLogger(destination: DestinationStream) {
  return pino(
    {
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    destination,
  );
}
