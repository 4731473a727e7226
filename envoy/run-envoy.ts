import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { type Envoy, root } from './find-envoy.js';

export interface EnvoyPorts {
  readonly ingress: number;
  readonly admin: number;
  readonly app: number;
  /** A port of 127.0.0.1, or the path of a unix socket. */
  readonly countersign: number | string;
}

export interface RunningEnvoy {
  /** Everything Envoy wrote so far. */
  readonly output: () => string;
  stop(): Promise<void>;
}

interface Bootstrap {
  admin: { address: unknown };
  static_resources: {
    listeners: { name: string; address: unknown }[];
    clusters: {
      name: string;
      load_assignment: { endpoints: { lb_endpoints: { endpoint: { address: unknown } }[] }[] };
    }[];
  };
}

const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/**
 * A configuration of `envoy/` with other ports, and nothing else changed but what `edit` changes.
 * @param edit for tests: changes the parsed bootstrap in place
 */
export function withPorts(
  file: string,
  ports: EnvoyPorts,
  edit: (bootstrap: Bootstrap) => void = () => {},
): string {
  const bootstrap: Bootstrap = parse(readFileSync(join(root, 'envoy', file), 'utf8'));
  bootstrap.admin.address = socket(ports.admin);
  for (const listener of bootstrap.static_resources.listeners) {
    if (listener.name === 'ingress') listener.address = socket(ports.ingress);
  }
  const targets: Record<string, unknown> = {
    app: socket(ports.app),
    countersign:
      typeof ports.countersign === 'number'
        ? socket(ports.countersign)
        : { pipe: { path: ports.countersign } },
  };
  for (const { name, load_assignment } of bootstrap.static_resources.clusters) {
    for (const { lb_endpoints } of load_assignment.endpoints) {
      for (const { endpoint } of lb_endpoints) endpoint.address = targets[name] ?? endpoint.address;
    }
  }
  edit(bootstrap);
  return stringify(bootstrap);
}

/** What the real Envoy says of a configuration without running it: '' when it would load it. */
export async function refusalOf(
  envoy: Exclude<Envoy, { kind: 'none' }>,
  folder: string,
  config: string,
): Promise<string> {
  const file = join(folder, `validate-${randomUUID()}.yaml`);
  writeFileSync(file, config);
  const flags = ['--mode', 'validate', '-c', file, '--log-level', 'warning'];
  const mounts = ['--rm', '--network', 'none', '-v', `${folder}:${folder}`, '-w', folder];
  const [command, args] =
    envoy.kind === 'binary'
      ? [envoy.path, flags]
      : ['docker', ['run', ...mounts, envoy.image, ...flags]];
  try {
    await promisify(execFile)(command, args, { cwd: folder, timeout: 30_000 });
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : 'unknown';
  }
}

/**
 * Starts Envoy in `folder`, where its certificates are, and resolves when it serves.
 * Rejects with its last words when it ends before that.
 */
export async function runEnvoy(
  envoy: Exclude<Envoy, { kind: 'none' }>,
  folder: string,
  config: string,
  adminPort: number,
): Promise<RunningEnvoy> {
  const file = join(folder, `envoy-${adminPort}.yaml`);
  writeFileSync(file, config);
  const flags = [
    '-c',
    file,
    '--use-dynamic-base-id',
    '--concurrency',
    '1',
    '--log-level',
    'warning',
  ];
  const running = await (envoy.kind === 'binary'
    ? startBinary(envoy.path, flags, folder)
    : startContainer(envoy.image, flags, folder));
  const deadline = Date.now() + 20_000;
  while (!(await isLive(adminPort))) {
    if (running.hasEnded() || Date.now() > deadline) {
      await running.stop();
      throw new Error(`Envoy did not start: ${running.output().slice(-2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return running;
}

interface EnvoyProcess extends RunningEnvoy {
  hasEnded(): boolean;
}

function startBinary(path: string, flags: readonly string[], folder: string): EnvoyProcess {
  const child = spawn(path, flags, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const hear = (chunk: unknown) => {
    output += String(chunk);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  let ended = false;
  const end = new Promise<void>((resolve) => {
    const finish = () => {
      ended = true;
      resolve();
    };
    child.once('close', finish);
    child.once('error', (error) => {
      hear(error.message);
      finish();
    });
  });
  return {
    output: () => output,
    hasEnded: () => ended,
    stop: async () => {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 3_000);
      await end;
      clearTimeout(force);
    },
  };
}

/** Envoy's container shares the host's network, and the folder under its own path. */
async function startContainer(
  image: string,
  flags: readonly string[],
  folder: string,
): Promise<EnvoyProcess> {
  // Its reaper would be an image of its own; `stop` ends the container.
  process.env['TESTCONTAINERS_RYUK_DISABLED'] = 'true';
  const { GenericContainer, Wait } = await import('testcontainers');
  let output = '';
  const container = await new GenericContainer(image)
    .withNetworkMode('host')
    .withBindMounts([{ source: folder, target: folder }])
    .withWorkingDir(folder)
    .withCommand([...flags, '--component-log-level', 'main:info'])
    .withWaitStrategy(Wait.forLogMessage(/starting main dispatch loop/))
    .withLogConsumer((stream) => {
      stream.on('data', (chunk) => {
        output += String(chunk);
      });
    })
    .start();
  return {
    output: () => output,
    hasEnded: () => false,
    stop: async () => {
      await container.stop();
    },
  };
}

async function isLive(adminPort: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${adminPort}/ready`);
    return (await response.text()).startsWith('LIVE');
  } catch {
    return false;
  }
}
