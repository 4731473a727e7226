import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'mocha';
import { root } from '../../envoy/find-envoy.js';

const hasGo = spawnSync('go', ['version']).error === undefined;

/** A suite that needs a Go program. Without Go it fails in CI, and is left out with its reason elsewhere. */
export function describeGo(name: string, suite: () => void): void {
  if (hasGo || process.env['CI'] === 'true') describe(name, suite);
  else describe.skip(`${name} (LEFT OUT: there is no Go on the PATH to build with)`, suite);
}

/**
 * Builds a package of the Go module in test/MODULE once into the cache folder and gives the program's
 * path. Its name has a digest of the module's files, so that another version is another file.
 */
export function buildGo(module: string, target = '.'): string {
  if (!hasGo) throw new Error(`Go 1.26 is needed to build test/${module}`);
  const sources = join(root, 'test', module);
  const hash = createHash('sha256');
  for (const file of readdirSync(sources).sort()) hash.update(readFileSync(join(sources, file)));
  const cache = process.env['COUNTERSIGN_CACHE'] ?? join(root, '.cache');
  const program = join(cache, `${module}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  const built = `${program}.${process.pid}`;
  const { status, stderr } = spawnSync(
    'go',
    ['build', '-buildvcs=false', '-trimpath', '-ldflags', '-s -w', '-o', built, target],
    { cwd: sources, env: { ...process.env, CGO_ENABLED: '0' }, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`go build: ${stderr}`);
  renameSync(built, program);
  return program;
}
