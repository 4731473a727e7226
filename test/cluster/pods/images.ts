import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, createReadStream, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { findEnvoy, root } from '../../../envoy/find-envoy.js';
import { moduleSource, toolPath } from '../tools.js';

const exec = promisify(execFile);

/** An image made of files of this machine, since no image registry is to be had. */
export interface Image {
  readonly tags: readonly string[];
  readonly entrypoint: readonly string[];
  /** Puts the files into an empty folder that becomes the image's root. */
  fill(folder: string): Promise<void>;
}

/** Copies programs under their own names, with the libraries that they are linked to. */
async function copyPrograms(folder: string, programs: Readonly<Record<string, string>>) {
  for (const [target, source] of Object.entries(programs)) {
    copy(source, join(folder, target));
    const { stdout } = await exec('ldd', [source]).catch(() => ({ stdout: '' }));
    for (const [library = ''] of stdout.matchAll(/\/[^ )]+/g)) copy(library, join(folder, library));
  }
}

function copy(source: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  cpSync(source, target, { dereference: true, recursive: true });
}

export const pauseImage: Image = {
  tags: ['docker.io/library/countersign-pause:local'],
  entrypoint: ['/pause'],
  fill: async (folder) => {
    await exec('go', ['build', '-o', join(folder, 'pause'), 'main.go'], {
      cwd: join(root, 'test', 'cluster', 'pods', 'pause'),
      env: { ...process.env, CGO_ENABLED: '0' },
    });
  },
};

/** Node with this checkout's build and what it needs at run time. */
async function fillNode(folder: string): Promise<void> {
  await copyPrograms(folder, { 'usr/bin/node': process.execPath });
  const { stdout } = await exec('npm', ['ls', '--omit=dev', '--all', '--parseable'], { cwd: root });
  const modules = stdout
    .trim()
    .split('\n')
    .map((path) => relative(root, path));
  for (const path of ['package.json', 'build/src', ...modules]) {
    if (path !== '') copy(join(root, path), join(folder, 'app', path));
  }
  copy(
    join(root, 'test', 'cluster', 'pods', 'application.mjs'),
    join(folder, 'app', 'application.mjs'),
  );
}

export const countersignImage: Image = {
  tags: ['docker.io/library/countersign:local'],
  entrypoint: ['/usr/bin/node', '/app/build/src/main.js'],
  fill: fillNode,
};

export const applicationImage: Image = {
  tags: ['docker.io/library/orders:local'],
  entrypoint: ['/usr/bin/node', '/app/application.mjs'],
  fill: fillNode,
};

async function envoyBinary(): Promise<string> {
  const envoy = await findEnvoy(() => {});
  if (envoy.kind !== 'binary')
    throw new Error(`pods need Envoy's binary, and it is: ${envoy.kind}`);
  return envoy.path;
}

export const envoyImage: Image = {
  tags: ['docker.io/envoyproxy/envoy:v1.40.0'],
  entrypoint: ['/usr/local/bin/envoy'],
  fill: async (folder) => {
    await copyPrograms(folder, { 'usr/local/bin/envoy': await envoyBinary() });
  },
};

/** Istio's proxy: the real agent, the real Envoy, and iptables of this machine. */
export const istioProxyImage: Image = {
  tags: ['docker.io/istio/proxyv2:local'],
  entrypoint: ['/usr/local/bin/pilot-agent'],
  fill: async (folder) => {
    await copyPrograms(folder, {
      'usr/local/bin/envoy': await envoyBinary(),
      'usr/local/bin/pilot-agent': toolPath('pilot-agent'),
    });
    for (const name of [
      'iptables',
      'iptables-save',
      'iptables-restore',
      'ip6tables',
      'ip6tables-save',
      'ip6tables-restore',
    ]) {
      await copyPrograms(folder, { [`usr/sbin/${name}`]: `/usr/sbin/${name}` });
    }
    const { stdout } = await exec('find', ['/usr/lib', '-type', 'd', '-name', 'xtables']);
    for (const path of stdout.trim().split('\n')) copy(path, join(folder, path));
    const source = await moduleSource('istio', 'istio.io/istio');
    copy(
      join(source, 'tools', 'packaging', 'common', 'envoy_bootstrap.json'),
      join(folder, 'var/lib/istio/envoy/envoy_bootstrap_tmpl.json'),
    );
  },
};

/**
 * Writes a docker-archive for `ctr image import`: a manifest, a configuration and one layer.
 * @returns the archive's path
 */
export async function writeArchive(folder: string, image: Image): Promise<string> {
  const name = basename(image.tags[0] ?? '').replaceAll(/[:/]/g, '-');
  const here = join(folder, name);
  const files = join(here, 'root');
  mkdirSync(files, { recursive: true });
  await image.fill(files);
  for (const path of ['tmp', 'etc', 'run']) mkdirSync(join(files, path), { recursive: true });
  writeFileSync(join(files, 'etc/passwd'), 'root:x:0:0::/:\nnobody:x:65534:65534::/:\n');
  await exec('chmod', ['1777', join(files, 'tmp')]);
  await exec('tar', ['-C', files, '--owner=0', '--group=0', '-cf', join(here, 'layer.tar'), '.']);
  rmSync(files, { recursive: true });
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Entrypoint: image.entrypoint, Env: ['PATH=/usr/local/bin:/usr/bin:/usr/sbin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${await sha256(join(here, 'layer.tar'))}`] },
  };
  writeFileSync(join(here, 'config.json'), JSON.stringify(config));
  const manifest = [{ Config: 'config.json', RepoTags: image.tags, Layers: ['layer.tar'] }];
  writeFileSync(join(here, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(folder, `${name}.tar`);
  await exec('tar', ['-C', here, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar']);
  rmSync(here, { recursive: true });
  return archive;
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
