import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { Logger } from 'pino';
import { createCheck } from '../check.js';
import type { Config } from '../config/config-schema.js';
import { parseListenAddress } from '../config/listen-address.js';
import { watchFiles } from '../config/watch.js';
import { denyOutright } from '../decision/decision.js';
import type { Finding } from '../document/finding.js';
import { beside } from '../load/files.js';
import type { Loader } from '../load/loader.js';
import type { RecentDecisions } from '../observe/recent-decisions.js';
import { respond } from '../response/respond.js';
import type { AdminHandlers } from '../server/admin-server.js';
import { startHttp2Server } from '../server/http2-server.js';
import type { Listener, ServerOptions } from '../server/listener.js';
import { createTurnClock } from '../server/turn.js';
import { createRecords } from './serve-records.js';
import { warmUp } from './warm-up.js';

/** Beside the body, a CheckRequest holds headers and metadata. */
const messageOverheadBytes = 4 * 1024 * 1024;

/** After how long files are read again that changed all the time while they were read. */
const unsettledMs = 200;

/** What a process has that decides: its files, its log and counts, and what it says of them. */
export interface Decider {
  readonly listener: Listener;
  readonly handlers: AdminHandlers;
  /** The counts as data, to be added to those of other processes. */
  readonly counts: () => Promise<object>;
  /** Puts what is loaded in force, and every change of a file from now on. */
  begin(): void;
  /** Health says NOT_SERVING from now on; calls go on being answered. */
  drain(): void;
  /** Answers what is in flight, `graceMs` at most, and ends what goes on in the background. */
  stop(graceMs: number): Promise<void>;
}

export interface DeciderOptions {
  readonly loader: Loader;
  /** The configuration that the process was started with. */
  readonly config: Config;
  readonly file: string;
  readonly logger: Logger;
  /** Where it listens; without an address it is given its connections. */
  readonly listen: Pick<ServerOptions, 'address' | 'takesOver'>;
  /** Told with every load whether there is a policy in force. */
  readonly onServing: (isServing: boolean) => void;
}

/** Rejects with a sentence when the address is not to be had. */
export async function startDecider(options: DeciderOptions): Promise<Decider> {
  const { loader, config, file, logger } = options;
  const load = { inFlight: 0 };
  const records = createRecords(loader, config, file, load, logger);
  process.on('SIGHUP', () => records.reopen());
  const check = createCheck({
    snapshot: () => loader.snapshot,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    newDecisionId: randomUUID,
    load,
    record: (record) => records.take(record),
    waitedMs: createTurnClock(() => performance.now()),
  });
  if (loader.snapshot !== undefined) await warmUp(loader.snapshot, Date.now());
  const listener = await startHttp2Server(check, {
    ...serverOptions(config, file),
    ...options.listen,
  });
  const tell = createTeller(loader, config, logger);
  let isDraining = false;
  const inForce = () => {
    tell();
    const isServing = loader.snapshot !== undefined && !isDraining;
    listener.setServing(isServing);
    options.onServing(isServing);
  };
  let again: NodeJS.Timeout | undefined;
  const reload = async () => {
    clearTimeout(again);
    try {
      if (!(await loader.load())) again = setTimeout(() => void reload(), unsettledMs).unref();
    } catch (error) {
      logger.error({ why: sentence(error) }, 'the files cannot be loaded');
    }
    inForce();
  };
  let watcher: { close(): void } | undefined;
  return {
    listener,
    handlers: {
      ready: () => readiness(loader),
      metrics: () => records.metrics.render(),
      decision: (id) => recentDecision(records.recent, loader, id),
    },
    counts: () => records.metrics.counts(),
    begin() {
      inForce();
      watcher = watchFiles(
        () => loader.paths(),
        () => void reload(),
        { since: loader.signature, onSight: () => loader.expect() },
      );
    },
    drain() {
      isDraining = true;
      listener.setServing(false);
    },
    async stop(graceMs) {
      watcher?.close();
      clearTimeout(again);
      await listener.stop(graceMs);
      await loader.close();
      await records.close();
    },
  };
}

/** How the server is set up; the files of `tls` are read here. */
export function serverOptions(config: Config, file: string): ServerOptions {
  const address = parseListenAddress(config.listen);
  if (address === undefined) throw new Error('the address was validated before');
  const { tls } = config;
  const read = (path: string) => readFileSync(beside(file, path));
  return {
    address,
    maxMessageBytes: config.limits.body + messageOverheadBytes,
    lastResort: lastResort(),
    tls: tls && {
      certificatePem: read(tls.certificate),
      keyPem: read(tls.key),
      clientCaPem: tls.clientCa === undefined ? undefined : read(tls.clientCa),
    },
  };
}

/** The deny for a Check whose handler failed in a way that has no other answer. */
function lastResort(): Uint8Array {
  const context = {
    decisionId: randomBytes(16).toString('hex'),
    revision: '',
    request: undefined,
    tokenHeader: undefined,
    mcp: undefined,
  };
  const options = {
    identityHeaders: false,
    removeCredentials: false,
    resourceMetadata: '',
    approvalHeaders: [],
  };
  return respond(denyOutright('internal_error', 'the Check failed'), context, options);
}

function recentDecision(recent: RecentDecisions, { config }: Loader, id: string) {
  const json = recent.find(id);
  if (json !== undefined) return { json };
  const kept = config?.decisionLog.recent ?? 0;
  return kept === 0
    ? { why: 'no decisions are kept: decisionLog: { recent: 1000 } keeps the last 1000' }
    : { why: `the decision ${id} is not among the last ${kept}` };
}

function readiness(loader: Loader): { isReady: boolean; text: string } {
  const errors = loader.findings().filter(({ severity }) => severity === 'error');
  const broken = errors.map(({ file, line, message }) => `${file}:${line}: ${message}\n`).join('');
  if (loader.snapshot === undefined) return { isReady: false, text: `not ready\n${broken}` };
  const { revision } = loader.snapshot.policy;
  const note = errors.length === 0 ? '' : 'broken files, the last good ones stay in force:\n';
  return { isReady: true, text: `ready, policy ${revision}\n${note}${broken}${keysAway(loader)}` };
}

/** A line for each source of keys that fails, or has given none yet. */
function keysAway(loader: Loader): string {
  const away = loader
    .keySources()
    .filter(({ ageMs, failures }) => failures > 0 || ageMs === undefined);
  return away
    .map(({ name, ageMs, failures, lastError = 'no answer yet' }) => {
      const age = ageMs === undefined ? 'none so far' : `${Math.round(ageMs / 1000)} s old`;
      return `keys of ${name}: ${age}, ${failures} failed attempts, ${lastError}\n`;
    })
    .join('');
}

/** Says what a load changed: to the log. */
function createTeller(loader: Loader, started: Config, logger: Logger): () => void {
  let revision: string | undefined;
  let told = '';
  return () => {
    const { snapshot } = loader;
    const findings = loader.findings();
    const text = JSON.stringify(findings);
    if (text !== told) for (const finding of findings) report(logger, finding);
    told = text;
    for (const key of ['listen', 'admin', 'workers'] as const) {
      if (loader.config !== undefined && loader.config[key] !== started[key]) {
        logger.warn({ setting: key }, 'changed in the file; it needs a restart');
      }
    }
    if (snapshot === undefined || snapshot.policy.revision === revision) return;
    revision = snapshot.policy.revision;
    logger.info({ revision, rules: snapshot.policy.rules.length }, 'policy in force');
  };
}

function report(logger: Logger, { severity, file, line, column, code, message }: Finding): void {
  const level = severity === 'error' ? 'error' : 'warn';
  logger[level]({ file, line, column, finding: code }, message);
}

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
