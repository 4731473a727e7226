import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ControlPlane, startControlPlane } from './control-plane.js';

let started: ControlPlane | undefined;
let folder: string | undefined;

/** The API server that the parts without pods share; each test file has namespaces of its own. */
export function cluster(): ControlPlane {
  if (started === undefined) throw new Error('the suite has not started its API server');
  return started;
}

export async function mochaGlobalSetup(): Promise<void> {
  folder = mkdtempSync(join(process.env['COUNTERSIGN_CLUSTER_FOLDER'] ?? tmpdir(), 'api-'));
  started = await startControlPlane(folder);
}

export async function mochaGlobalTeardown(): Promise<void> {
  await started?.stop();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}
