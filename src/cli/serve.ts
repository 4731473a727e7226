import { performance } from 'node:perf_hooks';
import { destination, type Logger } from 'pino';
import { processEnvironment } from '../config/environment.js';
import { parseListenAddress } from '../config/listen-address.js';
import { renderFindings } from '../document/render-findings.js';
import { Loader, type SharedState } from '../load/loader.js';
import type { Reader } from '../load/reader.js';
import { createLogger } from '../observe/logger.js';
import { findPrimary } from '../workers/primary.js';
import { type Arguments, type Command, type ExitCode, type Io, Misuse } from './command.js';
import { configFile, sourceOf } from './config-file.js';
import { type Decider, sentence, serverOptions, startDecider } from './serve-decider.js';
import { runPrimary } from './serve-primary.js';
import { drainMs, type Serving, serveUntilTold } from './serve-until-told.js';
import { runWorker } from './serve-worker.js';

/**
 * `countersign serve`: the sidecar.
 * @param reader reads the files while the sidecar answers
 */
export const createServe = (reader: Reader): Command => ({
  name: 'serve',
  summary: 'the sidecar: answers Envoy until SIGTERM',
  operands: '',
  options: {
    'drain-ms': { type: 'string' },
    'take-over': { type: 'boolean' },
    worker: { type: 'boolean' },
  },
  help: [
    `--drain-ms N        how long to go on answering after SIGTERM (${drainMs})`,
    '--take-over         takes a unix socket over from the process that serves it, which then ends',
  ],
  async run(args, io) {
    const logger = createLogger(destination({ dest: 2, sync: true }));
    if (args.values['worker'] === true) return serveAsWorker(args, io, logger, reader);
    const file = configFile(args);
    const loader = await load(file, reader, undefined);
    const { config } = loader;
    if (config === undefined) return sayFindings(loader, io);
    const drain = Number(args.values['drain-ms'] ?? drainMs);
    if (!Number.isFinite(drain) || drain < 0) throw new Misuse('--drain-ms is a number');
    const takesOver = args.values['take-over'] === true;
    if (takesOver && parseListenAddress(config.listen)?.kind !== 'unix') {
      throw new Misuse('--take-over is for a unix socket: listen: unix:///…');
    }
    if (takesOver && loader.snapshot === undefined) return sayFindings(loader, io);
    if (takesOver) await loader.fetched();
    const serving = { file, config, logger, drainMs: drain, takesOver };
    if (config.workers === 1) return serveAlone(loader, serving);
    await loader.close();
    return runPrimary(serving);
  },
});

async function load(
  file: string,
  reader: Reader,
  shared: SharedState | undefined,
): Promise<Loader> {
  const loader = new Loader({
    configFile: file,
    environment: processEnvironment(),
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    reader,
    ...(shared === undefined ? {} : { shared }),
  });
  await loader.load();
  return loader;
}

function sayFindings(loader: Loader, io: Io): 1 {
  io.err(renderFindings(loader.findings(), sourceOf));
  return 1;
}

async function serveAsWorker(
  args: Arguments,
  io: Io,
  logger: Logger,
  reader: Reader,
): Promise<ExitCode> {
  // A signal to the whole group is the primary's to hear; it tells its workers.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {});
  const primary = await findPrimary();
  if (primary === undefined)
    throw new Misuse('--worker is what `serve` calls its own workers with');
  const file = configFile(args);
  const loader = await load(file, reader, {
    nonceSecret: primary.nonceSecret,
    replayStore: (maxEntries, withinMs) => primary.replayStore(maxEntries, withinMs),
  });
  const { config } = loader;
  return config === undefined
    ? sayFindings(loader, io)
    : runWorker(loader, config, file, primary, logger);
}

async function serveAlone(loader: Loader, serving: Serving): Promise<ExitCode> {
  const { file, config, logger, takesOver } = serving;
  const { address } = serverOptions(config, file);
  let decider: Decider;
  try {
    decider = await startDecider({
      loader,
      config,
      file,
      logger,
      listen: { address, takesOver },
      onServing: () => {},
    });
  } catch (error) {
    logger.fatal({ listen: config.listen, why: sentence(error) }, 'cannot listen');
    await loader.close();
    return 1;
  }
  decider.begin();
  return serveUntilTold(serving, decider.listener.door, decider);
}
