import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { describe } from 'mocha';

/** Debian's redis-server speaks the protocol of Valkey; CI installs it, so there its absence is a failure. */
const isThere = spawnSync('redis-server', ['--version']).error === undefined;

/** A suite that needs redis-server. Without it the suite fails in CI, and is left out elsewhere. */
export function describeRedis(name: string, suite: () => void): void {
  if (isThere || process.env['CI'] === 'true') describe(name, suite);
  else describe.skip(`${name} (LEFT OUT: there is no redis-server on the PATH)`, suite);
}

/** A server that keeps nothing on disk. */
export function startRedis(port: number): ChildProcess {
  if (!isThere) throw new Error('redis-server is needed: apt-get install redis-server');
  return spawn('redis-server', [
    ...['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
  ]);
}

export async function killRedis(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const closed = new Promise((resolve) => server.once('close', resolve));
  server.kill('SIGKILL');
  await closed;
}
