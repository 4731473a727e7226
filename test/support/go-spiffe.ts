import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { buildGo } from './go-program.js';

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

export const buildGoSpiffe = (): string => buildGo('go-spiffe');

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
