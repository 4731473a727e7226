import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import type { CheckRecord } from '../check.js';
import type { Config } from '../config/config-schema.js';
import { beside } from '../load/files.js';
import type { Loader } from '../load/loader.js';
import { createDecisionLog, type DecisionLog } from '../observe/decision-log.js';
import { createMetrics, type Metrics } from '../observe/metrics.js';
import { keepDecisions, type RecentDecisions } from '../observe/recent-decisions.js';
import type { Observed } from '../observe/state-metrics.js';
import { createTracer, type Tracer } from '../observe/tracer.js';
import { programVersion } from './version.js';

/** Everything that is told of decisions: metrics, the decision log, traces, the last decisions. */
export interface Records {
  readonly metrics: Metrics;
  readonly recent: RecentDecisions;
  /** Takes one decision; never waits, never throws. */
  take(record: CheckRecord): void;
  /** Goes on in the file that now has the decision log's name. */
  reopen(): void;
  /** Writes and sends what waits, a second at most. */
  close(): Promise<void>;
}

const closeMs = 1_000;
const lookMs = 5_000;

/** @param load kept up to date by the Checks */
export function createRecords(
  loader: Loader,
  started: Config,
  file: string,
  load: { readonly inFlight: number },
  logger: Logger,
): Records {
  const counts = { dropped: 0, sent: 0, spansDropped: 0 };
  const log = byConfig(loader, started, (config) => logSettings(config, file), openLog(counts));
  const tracer = byConfig(loader, started, ({ tracing }) => tracing, openTracer(counts));
  const metrics = createMetrics(() => ({
    ...observed(loader),
    inFlight: load.inFlight,
    decisionLog: { dropped: counts.dropped, isFailing: log().failure() !== undefined },
    tracing: { sent: counts.sent, dropped: counts.spansDropped },
  }));
  const recent = keepDecisions(() => loader.config?.decisionLog.recent ?? 0);
  const watching = tellOfFailures(() => log().failure(), logger);
  return {
    metrics,
    recent,
    take(record) {
      metrics.observe(record);
      log().write(record);
      tracer().record(record);
      recent.keep(record, () => secretHeaders(loader.config ?? started));
    },
    reopen: () => log().reopen(),
    close: async () => {
      clearInterval(watching);
      await Promise.all([log().close(closeMs), tracer().close(closeMs)]);
      const { dropped } = counts;
      if (dropped > 0) logger.warn({ dropped }, 'decision records were dropped');
    },
  };
}

/** What a part of the configuration in force asks for; once that part changes, another, and the old one is closed. */
function byConfig<S, T extends { close(withinMs: number): Promise<void> }>(
  loader: Loader,
  started: Config,
  settingsOf: (config: Config) => S,
  open: (settings: S) => T,
): () => T {
  let config = started;
  let key = JSON.stringify(settingsOf(config));
  let current = open(settingsOf(config));
  return () => {
    if (loader.config === config || loader.config === undefined) return current;
    config = loader.config;
    const settings = settingsOf(config);
    const nextKey = JSON.stringify(settings);
    if (nextKey === key) return current;
    key = nextKey;
    void current.close(closeMs);
    current = open(settings);
    return current;
  };
}

interface Counts {
  dropped: number;
  sent: number;
  spansDropped: number;
}

function logSettings(config: Config, file: string) {
  const { decisionLog } = config;
  const isFile = decisionLog.to !== 'stdout' && decisionLog.to !== 'off';
  const to = isFile ? beside(file, decisionLog.to) : decisionLog.to;
  return { ...decisionLog, to, credentialHeaders: [...secretHeaders(config)] };
}

function openLog(counts: Counts) {
  return (settings: ReturnType<typeof logSettings>): DecisionLog => {
    const options = { ...settings, credentialHeaders: new Set(settings.credentialHeaders) };
    return createDecisionLog(options, {
      random: Math.random,
      monotonicMs: () => performance.now(),
      onDrop: (records) => {
        counts.dropped += records;
      },
    });
  };
}

function openTracer(counts: Counts) {
  return (tracing: Config['tracing']): Tracer => {
    if (tracing === undefined) return noTracer;
    return createTracer(tracing, {
      version: programVersion(),
      random: Math.random,
      randomHex: (bytes) => randomBytes(bytes).toString('hex'),
      onSent: (spans) => {
        counts.sent += spans;
      },
      onDropped: (spans) => {
        counts.spansDropped += spans;
      },
    });
  };
}

const noTracer: Tracer = { record: () => {}, close: () => Promise.resolve() };

function observed(loader: Loader): Omit<Observed, 'inFlight' | 'decisionLog' | 'tracing'> {
  const { snapshot } = loader;
  return {
    version: programVersion(),
    isReady: snapshot !== undefined,
    policy: snapshot && {
      revision: snapshot.policy.revision,
      rules: snapshot.policy.rules.length,
    },
    postureUpdatedAtMs: snapshot?.data.posture?.updatedAtMs,
    files: loader.fileStates(),
    keySources: loader.keySources(),
    replay: snapshot?.replay.state(),
  };
}

/** Says in the operator's log when the decision log stops working, and when it works again. */
function tellOfFailures(failure: () => string | undefined, logger: Logger): NodeJS.Timeout {
  let told: string | undefined;
  const look = () => {
    const why = failure();
    if (why === told) return;
    told = why;
    if (why === undefined) logger.info('the decision log is written again');
    else logger.error({ why }, 'the decision log cannot be written');
  };
  return setInterval(look, lookMs).unref();
}

function secretHeaders({ trust }: Config): ReadonlySet<string> {
  const configured = [...trust.jwt, ...trust.approvals].map(({ header }) => header);
  return new Set([
    'authorization',
    'proxy-authorization',
    'cookie',
    'dpop',
    'x-api-key',
    ...configured,
  ]);
}
