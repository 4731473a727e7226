import type { CheckRecord } from '../check.js';
import { decisionLine } from './decision-line.js';
import type { Detail } from './decision-record.js';
import { LineSink } from './line-sink.js';
import { LogFile, type Rotation } from './log-file.js';
import { standardOutput } from './standard-output.js';

export interface DecisionLogOptions extends Rotation {
  /** `stdout`, a file's path, or `off`. */
  readonly to: string;
  /** Share of permits that are written, 0–1; denies always are. */
  readonly permits: number;
  readonly detail: Detail;
  readonly credentialHeaders: ReadonlySet<string>;
}

export interface DecisionLog {
  /** Takes one record; never waits, never throws. */
  write(record: CheckRecord): void;
  /** Why the destination does not work now; undefined while it does. */
  failure(): string | undefined;
  /** The next write goes to the file that has the name then. */
  reopen(): void;
  /** Writes what waits, within `withinMs`; what is left then is dropped. */
  close(withinMs: number): Promise<void>;
}

export interface DecisionLogDependencies {
  /** 0 ≤ x < 1, for the share of permits. */
  readonly random: () => number;
  /** Milliseconds of a clock that does not step back. */
  readonly monotonicMs: () => number;
  /** Told of how many records a destination cost that is slow or does not work. */
  readonly onDrop: (records: number) => void;
}

/** Writes one JSON line per decision, without ever making an answer wait. */
export function createDecisionLog(
  options: DecisionLogOptions,
  { random, monotonicMs, onDrop }: DecisionLogDependencies,
): DecisionLog {
  if (options.to === 'off') return nowhere;
  const file = options.to === 'stdout' ? undefined : new LogFile(options.to, options, monotonicMs);
  const sink = new LineSink(file ?? standardOutput(), onDrop);
  return {
    write(record) {
      if (record.decision.effect === 'permit' && random() >= options.permits) return;
      sink.write(decisionLine(record, options.detail, options.credentialHeaders));
    },
    failure: () => sink.failure,
    reopen: () => file?.reopen(),
    close: (withinMs) => sink.close(withinMs),
  };
}

const nowhere: DecisionLog = {
  write: () => {},
  failure: () => undefined,
  reopen: () => {},
  close: () => Promise.resolve(),
};
