import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findEnvoy, hasDocker, root } from '../../envoy/find-envoy.js';

const run = promisify(execFile);
const image = 'countersign-envoy:1.40.0';
const nodeImage = 'countersign-node:local';
const ownImage = 'countersign:local';
const script = (name: string) => join(root, 'test', 'container', name);

/**
 * Before the container suite: makes an image of Envoy's binary on the Docker engine, so that the
 * end-to-end tests find Envoy there and nowhere else, and Countersign's own by the Dockerfile, on a
 * base of this machine's Node.js.
 */
export async function mochaGlobalSetup(): Promise<void> {
  if (!(await hasDocker())) throw new Error('no Docker engine answers: this suite needs one');
  await buildOwn();
  await buildEnvoy();
}

/** `COUNTERSIGN_IMAGE` names one that is there already. */
async function buildOwn(): Promise<void> {
  if (process.env['COUNTERSIGN_IMAGE'] !== undefined) return;
  await run('bash', [script('build-node-image.sh'), nodeImage]);
  const base = ['--build-arg', `NODE_IMAGE=${nodeImage}`];
  await run('docker', ['build', '--quiet', '--tag', ownImage, ...base, root]);
  process.env['COUNTERSIGN_IMAGE'] = ownImage;
}

async function buildEnvoy(): Promise<void> {
  if (process.env['COUNTERSIGN_ENVOY_IMAGE'] !== undefined) return;
  const envoy = await findEnvoy(() => {});
  if (envoy.kind !== 'binary') return;
  await run('bash', [script('build-image.sh'), envoy.path, image]);
  process.env['COUNTERSIGN_ENVOY_IMAGE'] = image;
}
