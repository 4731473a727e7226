import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../envoy/find-envoy.js';

/** A server in a process of its own, bound to one core (or several). */
export interface Served {
  readonly pid: number;
  /** What it wrote to stderr so far. */
  readonly stderr: () => string;
  stop(): Promise<void>;
}

/** The cores of the server and of the generator: as many as the machine has, two at most. */
export const cores = { server: '0', generator: '1', both: '0,1' } as const;
const canPin = spawnSync('taskset', ['-c', '0,1', 'true']).status === 0;

/** Keeps this process, the generator, on its own core. Gives a sentence where that cannot be. */
export function pinGenerator(): string | undefined {
  if (!canPin)
    return 'taskset with two cores is not here: nothing is pinned, do not trust a figure';
  spawnSync('taskset', ['-a', '-p', '-c', cores.generator, String(process.pid)]);
  return undefined;
}

export function pinned(core: string, command: string, args: readonly string[]) {
  return canPin
    ? { command: 'taskset', args: ['-c', core, command, ...args] }
    : { command, args: [...args] };
}

/** The bare grpc-js server on `127.0.0.1:PORT` or `unix:PATH`. */
export async function startFloor(address: string): Promise<Served> {
  const script = join(root, 'build', 'bench', 'floor.js');
  const isUp = (_: string, stdout: string) => stdout !== '';
  return await start(cores.server, process.execPath, [script, address], 'pipe', isUp);
}

export interface SidecarOptions {
  readonly configFile: string;
  readonly adminPort: number;
  readonly core?: string;
  /** Where its stdout goes, the decision log. Absent: nowhere. */
  readonly stdoutFile?: string;
  readonly nodeFlags?: readonly string[];
}

/** What the image starts Node with (Dockerfile). */
const imageFlags = ['--max-semi-space-size=4'];

/** `countersign serve`, resolved when `/readyz` is good. */
export async function startSidecar(options: SidecarOptions): Promise<Served> {
  const { configFile, adminPort, core = cores.server, stdoutFile, nodeFlags = [] } = options;
  const main = join(root, 'build', 'src', 'main.js');
  const args = [...imageFlags, ...nodeFlags, main, 'serve', '-c', configFile, '--drain-ms', '0'];
  const stdout = stdoutFile === undefined ? 'ignore' : openSync(stdoutFile, 'w');
  return await start(core, process.execPath, args, stdout, () => isReady(adminPort));
}

/** Another product's server, up when it says so. */
export async function startPeer(
  binary: string,
  args: readonly string[],
  saysItIsUp: RegExp,
): Promise<Served> {
  const isUp = (stderr: string, stdout: string) =>
    saysItIsUp.test(stderr) || saysItIsUp.test(stdout);
  return await start(cores.server, binary, args, 'pipe', isUp);
}

async function start(
  core: string,
  binary: string,
  binaryArgs: readonly string[],
  stdout: 'pipe' | 'ignore' | number,
  isUp: (stderr: string, stdout: string) => boolean | Promise<boolean>,
): Promise<Served> {
  const { command, args } = pinned(core, binary, binaryArgs);
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', stdout, 'pipe'] });
  let errors = '';
  let output = '';
  child.stderr?.on('data', (chunk) => {
    errors += String(chunk);
  });
  child.stdout?.on('data', (chunk) => {
    output += String(chunk);
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const deadline = Date.now() + 60_000;
  while (!(await isUp(errors, output))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`the server did not start: ${`${output}${errors}`.slice(-2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    pid: child.pid ?? 0,
    stderr: () => errors,
    stop: async () => {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 3_000);
      await ended;
      clearTimeout(force);
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
