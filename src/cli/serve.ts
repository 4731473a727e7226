import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { destination, type Logger } from 'pino';
import { createCheck } from '../check.js';
import type { Config } from '../config/config-schema.js';
import { processEnvironment } from '../config/environment.js';
import { parseListenAddress } from '../config/listen-address.js';
import { watchFiles } from '../config/watch.js';
import { denyOutright } from '../decision/decision.js';
import type { Finding } from '../document/finding.js';
import { renderFindings } from '../document/render-findings.js';
import { beside } from '../load/files.js';
import { Loader } from '../load/loader.js';
import { createDecisionLog, type DecisionLog } from '../observe/decision-log.js';
import { createLogger } from '../observe/logger.js';
import { createMetrics, type Metrics } from '../observe/metrics.js';
import { keepDecisions, type RecentDecisions } from '../observe/recent-decisions.js';
import { respond } from '../response/respond.js';
import { startAdminServer } from '../server/admin-server.js';
import { startGrpcJsServer } from '../server/grpc-js-server.js';
import type { Listener, ServerOptions } from '../server/listener.js';
import { createTurnClock } from '../server/turn.js';
import { type Command, Misuse } from './command.js';
import { configFile, countOf, sourceOf } from './read-config.js';

/** How long calls go on being answered after SIGTERM, so that Envoy can drain (ENVOY.md 3.5). */
const drainMs = 5_000;
const graceMs = 5_000;
/** Beside the body, a CheckRequest holds headers and metadata. */
const messageOverheadBytes = 4 * 1024 * 1024;

/** `countersign serve`: the sidecar. */
export const serve: Command = {
  name: 'serve',
  summary: 'the sidecar: answers Envoy until SIGTERM',
  operands: '',
  options: { 'drain-ms': { type: 'string' } },
  help: [`--drain-ms N        how long to go on answering after SIGTERM (${drainMs})`],
  async run(args, io) {
    const file = configFile(args);
    const loader = new Loader({
      configFile: file,
      environment: processEnvironment(),
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
    });
    loader.load();
    const { config } = loader;
    if (config === undefined) {
      io.err(renderFindings(loader.findings(), sourceOf));
      return 1;
    }
    const drain = Number(args.values['drain-ms'] ?? drainMs);
    if (!Number.isFinite(drain) || drain < 0) throw new Misuse('--drain-ms is a number');
    return run(loader, config, file, drain);
  },
};

async function run(loader: Loader, config: Config, file: string, drain: number): Promise<0 | 1> {
  const logger = createLogger(destination({ dest: 2, sync: true }));
  const metrics = createMetrics();
  const recent = keepDecisions(() => loader.config?.decisionLog.recent ?? 0);
  const log = createCurrentLog(loader, config, file, metrics);
  const check = createCheck({
    snapshot: () => loader.snapshot,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    newDecisionId: randomUUID,
    record: (record) => {
      metrics.observe(record);
      log().write(record);
      recent.keep(record, () => secretHeaders(loader.config ?? config));
    },
    waitedMs: createTurnClock(() => performance.now()),
  });
  let listener: Listener;
  try {
    listener = await startGrpcJsServer(check, serverOptions(config, file));
  } catch (error) {
    logger.fatal({ listen: config.listen, why: sentence(error) }, 'cannot listen');
    return 1;
  }
  const admin = await startAdmin(config, loader, metrics, recent, listener, logger);
  if (admin === undefined) return 1;
  const tell = createTeller(loader, config, listener, metrics, logger);
  tell();
  const watcher = watchFiles(
    () => loader.paths(),
    () => {
      try {
        loader.load();
      } catch (error) {
        logger.error({ why: sentence(error) }, 'the files cannot be loaded');
      }
      tell();
    },
  );
  logger.info({ listen: listener.door?.address, admin: admin.address }, 'listening');
  await terminated();
  logger.info({ drainMs: drain }, 'draining');
  listener.setServing(false);
  await Promise.race([sleep(drain), terminated()]);
  watcher.close();
  await Promise.race([listener.stop(graceMs), terminated()]);
  await admin.close();
  await loader.close();
  log().flush();
  logger.info('stopped');
  return 0;
}

/** The decision log by the configuration in force: another one after its settings have changed. */
function createCurrentLog(
  loader: Loader,
  started: Config,
  file: string,
  metrics: Metrics,
): () => DecisionLog {
  const open = (config: Config) => {
    const to = logTarget(config, file);
    const options = { ...config.decisionLog, to, credentialHeaders: secretHeaders(config) };
    return createDecisionLog(options, Math.random, () => metrics.droppedRecord());
  };
  let config = started;
  let log = open(config);
  return () => {
    const current = loader.config ?? config;
    if (current === config) return log;
    log.flush();
    config = current;
    log = open(config);
    return log;
  };
}

function logTarget({ decisionLog: { to } }: Config, file: string): string {
  return to === 'stdout' || to === 'off' ? to : beside(file, to);
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

function serverOptions(config: Config, file: string): ServerOptions {
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

async function startAdmin(
  config: Config,
  loader: Loader,
  metrics: Metrics,
  recent: RecentDecisions,
  listener: Listener,
  logger: Logger,
) {
  const address = parseListenAddress(config.admin);
  if (address?.kind !== 'tcp') throw new Error('the address was validated before');
  try {
    return await startAdminServer(address.host, address.port, {
      ready: () => readiness(loader),
      metrics: () => {
        metrics.keySources(loader.keySources());
        return metrics.render();
      },
      decision: (id) => recentDecision(recent, loader, id),
    });
  } catch (error) {
    logger.fatal({ admin: config.admin, why: sentence(error) }, 'cannot listen');
    await listener.stop(0);
    return undefined;
  }
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

/** Says what a load changed: to the log, to the metrics, to health. */
function createTeller(
  loader: Loader,
  started: Config,
  listener: Listener,
  metrics: Metrics,
  logger: Logger,
): () => void {
  let revision: string | undefined;
  let told = '';
  return () => {
    const { snapshot } = loader;
    const findings = loader.findings();
    const text = JSON.stringify(findings);
    if (text !== told) for (const finding of findings) report(logger, finding);
    told = text;
    metrics.reloaded('files', countOf(findings, 'error') === 0);
    listener.setServing(snapshot !== undefined);
    for (const key of ['listen', 'admin', 'workers'] as const) {
      if (loader.config !== undefined && loader.config[key] !== started[key]) {
        logger.warn({ setting: key }, 'changed in the file; it needs a restart');
      }
    }
    if (snapshot === undefined || snapshot.policy.revision === revision) return;
    revision = snapshot.policy.revision;
    metrics.policy(revision, snapshot.policy.rules.length, Date.now());
    logger.info({ revision, rules: snapshot.policy.rules.length }, 'policy in force');
  };
}

function report(logger: Logger, { severity, file, line, column, code, message }: Finding): void {
  const level = severity === 'error' ? 'error' : 'warn';
  logger[level]({ file, line, column, finding: code }, message);
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}

function terminated(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
