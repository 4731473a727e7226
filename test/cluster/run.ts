import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../envoy/find-envoy.js';
import { cleanNode } from './pods/clean-node.js';
import { endLeftovers } from './program.js';
import { buildTools, controlPlaneTools, podTools } from './tools.js';

/**
 * `npm run test:cluster`: builds the tools, runs the suites, and cleans up whatever happened.
 * `--pods` adds real pods, which need root and change kernel settings while they run; every other
 * argument is mocha's.
 */
const pods = process.argv.includes('--pods');
const rest = process.argv.slice(2).filter((argument) => argument !== '--pods');
const here = join(root, 'build', 'test', 'cluster', 'pods');
// Where Go is installed by default, and the system's own programs are, whatever shell this is.
process.env['PATH'] = `${process.env['PATH']}:/usr/local/go/bin:/usr/sbin:/sbin`;
const say = (text: string) => console.log(`== ${text}`);

function complaint(): string | undefined {
  const needed = ['go', 'etcd', ...(pods ? ['containerd', 'runc', 'iptables', 'ip'] : [])];
  const missing = needed.filter((name) => spawnSync('which', [name]).status !== 0);
  if (missing.length > 0) {
    return `${missing.join(', ')} not found (Go 1.26; Debian: etcd-server containerd runc containernetworking-plugins iptables iproute2)`;
  }
  return pods && process.getuid?.() !== 0 ? '--pods needs root' : undefined;
}

/** Runs mocha in a folder of its own, and leaves no process and no file behind. */
function runMocha(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-cluster-'));
  const mocha = spawn(
    process.execPath,
    [
      // Given here and not in .mocharc: mocha would start a process of its own, which no signal reaches.
      ...['--enable-source-maps', join(root, 'node_modules', 'mocha', 'bin', 'mocha.js')],
      ...['--config', join(root, '.mocharc.cluster.json'), ...rest],
      ...(pods ? ['--require', join(here, 'cluster-of-pods.js'), join(here, '*.test.js')] : []),
    ],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, COUNTERSIGN_CLUSTER_FOLDER: folder },
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => mocha.kill(signal));
  }
  return new Promise((resolve) => {
    mocha.once('close', (code) => {
      for (const name of readdirSync(folder)) {
        endLeftovers(join(folder, name));
        cleanNode(join(folder, name));
      }
      rmSync(folder, { recursive: true, force: true });
      resolve(code ?? 1);
    });
  });
}

const why = complaint();
if (why === undefined) {
  await buildTools([...controlPlaneTools, ...(pods ? podTools : [])], say);
  process.exitCode = await runMocha();
  if (!pods) say('Left out: real pods. npm run test:cluster -- --pods runs them (as root).');
} else {
  say(`The cluster suite cannot run: ${why}`);
  process.exitCode = 2;
}
