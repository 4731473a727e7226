import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
      for (const { endpoint } of lb_endpoints) endpoint.address = targets[name];
    }
  }
  edit(bootstrap);
  return stringify(bootstrap);
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
  const container = `countersign-envoy-${adminPort}`;
  const [command, args] =
    envoy.kind === 'binary'
      ? [envoy.path, flags]
      : [
          'docker',
          [
            'run',
            '--rm',
            '--name',
            container,
            '--network',
            'host',
            '-v',
            `${folder}:${folder}`,
            '-w',
            folder,
            envoy.image,
            ...flags,
          ],
        ];
  const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  let ended = false;
  const end = new Promise<void>((resolve) => {
    child.once('close', () => {
      ended = true;
      resolve();
    });
    child.once('error', (error) => {
      output += error.message;
      ended = true;
      resolve();
    });
  });
  const stop = async () => {
    child.kill('SIGTERM');
    const force = setTimeout(() => child.kill('SIGKILL'), 3_000);
    await end;
    clearTimeout(force);
  };
  const deadline = Date.now() + 20_000;
  while (!(await isLive(adminPort))) {
    if (ended || Date.now() > deadline) {
      await stop();
      throw new Error(`Envoy did not start: ${output.slice(-2000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { output: () => output, stop };
}

async function isLive(adminPort: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${adminPort}/ready`);
    return (await response.text()).startsWith('LIVE');
  } catch {
    return false;
  }
}
