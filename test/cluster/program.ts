import { spawn } from 'node:child_process';
import { appendFileSync, closeSync, openSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** A program that the suite started, with everything it says in a file of its own. */
export interface Program {
  readonly name: string;
  readonly pid: number;
  /** Everything it wrote to stdout and stderr. */
  output(): string;
  hasEnded(): boolean;
  /** SIGTERM, after ten seconds SIGKILL; resolves when it has ended. */
  stop(): Promise<void>;
}

export interface Start {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts a program. Its pid goes into `folder`/pids, by which `endLeftovers` finds it again. */
export function startProgram(folder: string, name: string, path: string, start: Start): Program {
  const log = join(folder, `${name}.log`);
  const descriptor = openSync(log, 'a');
  const child = spawn(path, start.args, {
    cwd: start.cwd ?? folder,
    env: { ...process.env, ...start.env },
    stdio: ['ignore', descriptor, descriptor],
  });
  closeSync(descriptor);
  let ended = false;
  const end = new Promise<void>((resolve) => {
    const finish = () => {
      ended = true;
      resolve();
    };
    child.once('exit', finish);
    child.once('error', (error) => {
      appendFileSync(log, `${error.message}\n`);
      finish();
    });
  });
  const pid = child.pid ?? 0;
  if (pid > 0) appendFileSync(join(folder, 'pids'), `${pid} ${basename(path)}\n`);
  return {
    name,
    pid,
    output: () => readFileSync(log, 'utf8'),
    hasEnded: () => ended,
    stop: async () => {
      if (!ended) child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await end;
      clearTimeout(force);
    },
  };
}

/** Ends, by pid, the programs of a run that was itself ended before it could. */
export function endLeftovers(folder: string): void {
  for (const [pid, name] of pidsOf(folder)) {
    try {
      const [running = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      // A pid may have been given to another program meanwhile.
      if (basename(running) === name) process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
}

function pidsOf(folder: string): readonly (readonly [number, string])[] {
  try {
    const lines = readFileSync(join(folder, 'pids'), 'utf8').trim().split('\n');
    return lines.map((line) => {
      const [pid = '', name = ''] = line.split(' ');
      return [Number(pid), name] as const;
    });
  } catch {
    return [];
  }
}

/**
 * Waits until `condition` gives a value, and gives that.
 * @param otherwise what the error says when it has not within the time
 */
export async function eventually<T>(
  condition: () => Promise<T | undefined> | T | undefined,
  otherwise: () => string,
  withinMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(otherwise());
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
