import type { Logger } from 'pino';
import type { Config } from '../config/config-schema.js';
import { parseListenAddress } from '../config/listen-address.js';
import { type AdminHandlers, type AdminServer, startAdminServer } from '../server/admin-server.js';
import type { Door } from '../server/door.js';
import type { ExitCode } from './command.js';
import { sentence } from './serve-decider.js';

/** How a process of `serve` was started. */
export interface Serving {
  readonly file: string;
  readonly config: Config;
  readonly logger: Logger;
  readonly drainMs: number;
  /** Whether it takes the socket over from another process. */
  readonly takesOver: boolean;
}

/** What is served: by this process itself, or by its workers. */
export interface Service {
  readonly handlers: AdminHandlers;
  /** Health says NOT_SERVING; calls go on being answered. */
  drain(): void;
  /** Says GOAWAY, answers what is in flight, `graceMs` at most, and ends everything. */
  stop(graceMs: number): Promise<void>;
}

/** How long calls go on being answered after SIGTERM, so that Envoy can drain (ENVOY.md 3.5). */
export const drainMs = 5_000;
export const graceMs = 5_000;
/** After a second SIGTERM: what is in flight has its answer within its own budget. */
const hurriedGraceMs = 500;

/**
 * Serves until a signal comes, or another process takes the socket over. A signal: NOT_SERVING and a
 * window in which Envoy drains; taken over: new connections go to the other one already, so GOAWAY at
 * once. A second signal ends the window, a third everything.
 */
export async function serveUntilTold(
  serving: Serving,
  door: Door | undefined,
  service: Service,
): Promise<ExitCode> {
  const { config, logger } = serving;
  const told = terminated();
  const lost = lossOf(door, logger);
  const admin = openAdmin(serving, service.handlers);
  try {
    // The process that is taken over has the admin port until it ends; Envoy need not wait for it.
    if (!serving.takesOver) await admin.opened;
  } catch (error) {
    logger.fatal({ admin: config.admin, why: sentence(error) }, 'cannot listen');
    await service.stop(0);
    return 1;
  }
  logger.info({ listen: door?.address, admin: config.admin }, 'listening');
  const isLost = await Promise.race([told.then(() => false), lost.then(() => true)]);
  if (isLost) await admin.close();
  const isHurried = !isLost && (await drain(serving, lost, service));
  await Promise.race([service.stop(isHurried ? hurriedGraceMs : graceMs), terminated()]);
  await admin.close();
  logger.info('stopped');
  // A standard output that nobody reads any more must not keep the process.
  setTimeout(() => process.exit(0), hurriedGraceMs).unref();
  return 0;
}

/** Resolves to whether a second signal cut it short. */
async function drain(serving: Serving, lost: Promise<void>, service: Service): Promise<boolean> {
  serving.logger.info({ drainMs: serving.drainMs }, 'draining');
  service.drain();
  const isOver = Promise.race([sleep(serving.drainMs), lost]);
  return Promise.race([isOver.then(() => false), terminated().then(() => true)]);
}

/** Resolves when another process has the socket's path. */
function lossOf(door: Door | undefined, logger: Logger): Promise<void> {
  return new Promise((resolve) => {
    door?.onLost((leadsTo) => {
      if (leadsTo === 'nothing') {
        logger.error({ listen: door.address }, 'the socket was removed: a restart makes it anew');
        return;
      }
      logger.info({ listen: door.address }, 'another process has taken the socket over');
      resolve();
    });
  });
}

/** The admin port; while another process is taken over, it is tried for until that one has left it. */
function openAdmin({ config, logger, takesOver }: Serving, handlers: AdminHandlers) {
  const address = parseListenAddress(config.admin);
  if (address?.kind !== 'tcp') throw new Error('the address was validated before');
  let isClosed = false;
  const open = async (): Promise<AdminServer | undefined> => {
    while (!isClosed) {
      try {
        return await startAdminServer(address.host, address.port, handlers);
      } catch (error) {
        if (!takesOver) throw error;
        await sleep(100);
      }
    }
    return undefined;
  };
  const opened = open();
  opened.then(
    (server) => logger.info({ admin: server?.address }, 'the admin port is open'),
    () => {},
  );
  return {
    opened,
    async close() {
      isClosed = true;
      await (await opened.catch(() => undefined))?.close();
    },
  };
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
