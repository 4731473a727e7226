import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findEnvoy, hasDocker, root } from '../../envoy/find-envoy.js';

const image = 'countersign-envoy:1.40.0';

/**
 * Before the container suite: makes an image of Envoy's binary on the Docker engine, so that the
 * end-to-end tests find Envoy there and nowhere else.
 */
export async function mochaGlobalSetup(): Promise<void> {
  if (!(await hasDocker())) throw new Error('no Docker engine answers: this suite needs one');
  if (process.env['COUNTERSIGN_ENVOY_IMAGE'] !== undefined) return;
  const envoy = await findEnvoy(() => {});
  if (envoy.kind !== 'binary') return;
  const script = join(root, 'test', 'container', 'build-image.sh');
  await promisify(execFile)('bash', [script, envoy.path, image]);
  process.env['COUNTERSIGN_ENVOY_IMAGE'] = image;
}
