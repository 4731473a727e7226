import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe } from 'mocha';
import { root } from '../../envoy/find-envoy.js';

const sources = join(root, 'test', 'go-spiffe');

/** What go-spiffe's validators hold a question to. */
export interface GoTrust {
  readonly audience: readonly string[];
  /** Trust domain → a JWK Set as text, and certificates in DER, one behind the other. */
  readonly bundles: Readonly<Record<string, { readonly jwks: string; authorities: Uint8Array }>>;
}

export interface GoQuestion {
  readonly kind: 'id' | 'jwt' | 'x509';
  /** The id, the token, or the leaf's DER in base64. */
  readonly value: string;
  /** For a certificate: seconds since the epoch, when it is not now. */
  readonly at?: number;
  /** Counts for this question and those behind it. */
  readonly trust?: GoTrust;
}

/** Go-spiffe's opinion: the id it read, or why there is none. */
export interface GoAnswer {
  readonly ok: boolean;
  readonly id: string;
  readonly why?: string;
}

const hasGo = spawnSync('go', ['version']).error === undefined;

/** A suite that needs go-spiffe. Without Go it fails in CI, and is left out with its reason elsewhere. */
export function describeGo(name: string, suite: () => void): void {
  if (hasGo || process.env['CI'] === 'true') describe(name, suite);
  else
    describe.skip(`${name} (LEFT OUT: there is no Go on the PATH to build go-spiffe with)`, suite);
}

/**
 * Builds test/go-spiffe once into the cache folder and gives the program's path. The name has a digest
 * of its sources, so that another version is another file.
 */
export function buildGoSpiffe(): string {
  if (!hasGo) throw new Error('Go 1.26 is needed to build test/go-spiffe');
  const hash = createHash('sha256');
  for (const file of readdirSync(sources).sort()) hash.update(readFileSync(join(sources, file)));
  const cache = process.env['COUNTERSIGN_CACHE'] ?? join(root, '.cache');
  const program = join(cache, `go-spiffe-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  const built = `${program}.${process.pid}`;
  const { status, stderr } = spawnSync(
    'go',
    ['build', '-buildvcs=false', '-trimpath', '-ldflags', '-s -w', '-o', built, '.'],
    { cwd: sources, env: { ...process.env, CGO_ENABLED: '0' }, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`go build: ${stderr}`);
  renameSync(built, program);
  return program;
}

/** Asks go-spiffe's validators, all questions in one run. */
export function askGo(program: string, questions: readonly GoQuestion[]): readonly GoAnswer[] {
  const input = questions
    .flatMap(({ trust, ...question }) =>
      trust === undefined ? [question] : [lineOf(trust), question],
    )
    .map((line) => `${JSON.stringify(line)}\n`)
    .join('');
  const { stdout, stderr, status } = spawnSync(program, ['judge'], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 60_000,
  });
  const answers = stdout.split('\n').filter((line) => line !== '');
  if (status !== 0 || answers.length !== questions.length) throw new Error(`go-spiffe: ${stderr}`);
  return answers.map((line) => JSON.parse(line));
}

function lineOf({ audience, bundles }: GoTrust): object {
  const encoded = Object.entries(bundles).map(([name, { jwks, authorities }]) => [
    name,
    { jwks, authorities: Buffer.from(authorities).toString('base64') },
  ]);
  return { audience, bundles: Object.fromEntries(encoded) };
}

/** What the official client gets of each method of a Workload API; does not block this process. */
export async function fetchByGo(program: string, address: string, audience: string) {
  const child = spawn(program, ['fetch', address, audience], { timeout: 20_000 });
  const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)];
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`go-spiffe: ${stderr()}`);
  return JSON.parse(stdout());
}

/** The official client's watchers. */
export interface GoWatch {
  /** Everything that they were told so far. */
  readonly told: () => readonly Readonly<Record<string, unknown>>[];
  stop(): Promise<void>;
}

export function watchByGo(program: string, address: string): GoWatch {
  const child: ChildProcess = spawn(program, ['watch', address], { stdio: 'pipe' });
  const stdout = textOf(child.stdout);
  const ended = new Promise((resolve) => child.once('close', resolve));
  return {
    told: () =>
      stdout()
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    async stop() {
      child.stdin?.end();
      await ended;
    },
  };
}

function textOf(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.on('data', (chunk) => {
    text += String(chunk);
  });
  return () => text;
}
