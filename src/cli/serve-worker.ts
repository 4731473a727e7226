import type { Logger } from 'pino';
import type { Config } from '../config/config-schema.js';
import type { Loader } from '../load/loader.js';
import type { Question } from '../workers/messages.js';
import type { Primary } from '../workers/primary.js';
import { type Decider, startDecider } from './serve-decider.js';
import { graceMs } from './serve-until-told.js';

/** One of several processes that decide: it has its connections, and its end, from the primary. */
export async function runWorker(
  loader: Loader,
  config: Config,
  file: string,
  primary: Primary,
  logger: Logger,
): Promise<0 | 1> {
  const own = logger.child({ worker: primary.number });
  // All read the same files: what is to say of them is said once.
  if (primary.number > 1) own.level = 'error';
  const decider = await startDecider({
    loader,
    config,
    file,
    logger: own,
    listen: { address: undefined },
    onServing: (isServing) => primary.serving(isServing),
  });
  decider.begin();
  const code = await new Promise<0 | 1>((resolve) => {
    const end = (withinMs: number, exitCode: 0 | 1) => {
      decider.stop(withinMs).then(
        () => resolve(exitCode),
        () => resolve(1),
      );
    };
    primary.begin({
      connection: (socket) => decider.listener.take(socket),
      answer: (question) => answer(decider, question),
      drain: () => decider.drain(),
      stop: (withinMs) => end(withinMs, 0),
      orphaned: () => end(graceMs, 1),
    });
  });
  primary.leave();
  return code;
}

function answer({ handlers, counts }: Decider, question: Question): unknown {
  switch (question.about) {
    case 'ready':
      return handlers.ready();
    case 'metrics':
      return counts();
    case 'decision':
      return handlers.decision(question.decision);
    default:
      question satisfies never;
      return undefined;
  }
}
