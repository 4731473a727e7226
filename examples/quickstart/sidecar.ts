import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from '../../envoy/find-envoy.js';

/** One line of the decision log, as far as its readers here need it. */
export interface LoggedDecision {
  readonly decision: string;
  readonly effect: 'permit' | 'deny';
  readonly code: string;
  readonly rule?: string;
  readonly policy?: string;
  readonly revision?: string;
  readonly principal?: string;
  readonly shadow?: readonly { rule: string; effect: string }[];
}

export interface Sidecar {
  readonly process: ChildProcess;
  /** Everything it wrote to stdout (the decision log) and to stderr (the operator's log). */
  readonly output: () => { readonly stdout: string; readonly stderr: string };
  /** The record of a decision, once it is written. */
  decision(id: string): Promise<LoggedDecision>;
  /** Ends it by a signal and gives its exit code (null after SIGKILL). */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `countersign serve` as a process of its own and resolves when it is ready. */
export async function startSidecar(
  configFile: string,
  adminPort: number,
  args: readonly string[] = ['--drain-ms', '100'],
): Promise<Sidecar> {
  const main = join(root, 'build', 'src', 'main.js');
  const child = spawn(process.execPath, [main, 'serve', '-c', configFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the sidecar ended: ${stderr}`);
    return await isReady(adminPort);
  }, 'the sidecar is not ready');
  return {
    process: child,
    output: () => ({ stdout, stderr }),
    decision: async (id) => {
      let found: LoggedDecision | undefined;
      await until(() => {
        const line = stdout.split('\n').find((text) => text.includes(`"decision":"${id}"`));
        found = line === undefined ? undefined : JSON.parse(line);
        return Promise.resolve(found !== undefined);
      }, `decision ${id} is not logged`);
      if (found === undefined) throw new Error(`decision ${id} is not logged`);
      return found;
    },
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
}

async function isReady(adminPort: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).ok;
  } catch {
    return false;
  }
}

/** Waits for a condition, ten seconds at most. */
export async function until(condition: () => Promise<boolean>, otherwise: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
