import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { LineSink } from '../observe/line-sink.js';
import { standardOutput } from '../observe/standard-output.js';
import { createSum, type Sum } from '../observe/sum.js';
import { memoryStore } from '../replay/memory-store.js';
import type { Spent } from '../replay/replay-store.js';
import type { AdminHandlers, FoundDecision, Readiness } from '../server/admin-server.js';
import { type Door, openDoor } from '../server/door.js';
import { type Crew, startCrew } from '../workers/crew.js';
import type { Spending } from '../workers/messages.js';
import type { ExitCode } from './command.js';
import { sentence, serverOptions } from './serve-decider.js';
import { type Serving, serveUntilTold } from './serve-until-told.js';

/** How long standard output may take for the last lines. */
const closeMs = 1_000;
/** How often workers are asked whether they still answer. */
const pulseMs = 10_000;

/**
 * `workers: N`: this process accepts connections and gives them to N others that decide. It holds
 * what they share: the address, the admin port, the memory of what was used once, standard output.
 */
export async function runPrimary(serving: Serving): Promise<ExitCode> {
  const { config, logger, takesOver } = serving;
  let { maxEntries } = config.replay;
  const spent = memoryStore(() => maxEntries, {
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
  });
  const sum = createSum(config.workers, () => spent.state());
  const output = new LineSink(standardOutput(), (lines) => sum.dropped(lines));
  const spend = (spending: Spending) => {
    maxEntries = spending.maxEntries;
    return spent.spend(spending.credential, spending.request, spending.untilMs);
  };
  const crew = startOwnCrew(serving, sum, spend, (line) => output.write(`${line}\n`));
  // A decision log in a file is the workers' own: they find by themselves that it was moved away.
  process.on('SIGHUP', () => {});
  let door: Door;
  try {
    const { address } = serverOptions(config, serving.file);
    if (address === undefined) throw new Error('there is no address');
    // What is taken over works; it goes on working until every worker has a policy.
    if (takesOver) await crew.allServing();
    door = await openDoor(address, { takesOver, unread: true }, (socket) => crew.give(socket));
  } catch (error) {
    logger.fatal({ listen: config.listen, why: sentence(error) }, 'cannot listen');
    await crew.stop(0);
    return 1;
  }
  return serveUntilTold(serving, door, {
    handlers: handlersOf(crew, sum, config.workers),
    drain: () => crew.drain(),
    async stop(graceMs) {
      door.close();
      await crew.stop(graceMs);
      await output.close(closeMs);
    },
  });
}

function startOwnCrew(
  { file, config, logger }: Serving,
  sum: Sum,
  spend: (spending: Spending) => Spent | Promise<Spent>,
  line: (text: string) => void,
): Crew {
  return startCrew({
    size: config.workers,
    fork: () =>
      fork(
        fileURLToPath(new URL('../main.js', import.meta.url)),
        ['serve', '-c', file, '--worker'],
        {
          stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
        },
      ),
    nonceSecret: randomBytes(32).toString('base64'),
    spend,
    line,
    lost(worker, how, againMs) {
      sum.retire(worker);
      logger.error({ worker, how, againMs }, 'a worker ended; another one is started');
    },
    pulseMs,
    monotonicMs: () => performance.now(),
  });
}

/** The admin port's answers, from what the workers say of themselves. */
function handlersOf(crew: Crew, sum: Sum, size: number): AdminHandlers {
  return {
    ready: async () => readinessOf(await askAll<Readiness>(crew, { about: 'ready' }), size),
    metrics: async () => sum.render(await askAll<object>(crew, { about: 'metrics' })),
    async decision(id) {
      const found = [
        ...(await askAll<FoundDecision>(crew, { about: 'decision', decision: id })).values(),
      ];
      return found.find((one) => 'json' in one) ?? found[0] ?? { why: 'no worker answers' };
    },
  };
}

/** What workers answer is this program's own, by `serve-worker.ts`. */
async function askAll<T>(crew: Crew, question: Parameters<Crew['ask']>[0]) {
  return (await crew.ask(question)) as ReadonlyMap<number, T>;
}

/** Ready when every worker is; each text once, with the workers that say it. */
function readinessOf(byWorker: ReadonlyMap<number, Readiness>, size: number): Readiness {
  const numbers = Array.from({ length: size }, (_, at) => at + 1);
  const textOf = (number: number) => byWorker.get(number)?.text ?? 'does not answer\n';
  const texts = [...new Set(numbers.map(textOf))].map((text) => {
    const who = numbers.filter((number) => textOf(number) === text);
    return who.length === size ? text : `workers ${who.join(', ')}: ${text}`;
  });
  const isReady = numbers.every((number) => byWorker.get(number)?.isReady === true);
  return { isReady, text: texts.join('') };
}
