import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createIssuer, type Issuer } from '../../examples/quickstart/issuer.js';
import { type CheckRecord, createCheck } from '../../src/check.js';
import { Loader } from '../../src/load/loader.js';
import { type Reader, readHere } from '../../src/load/reader.js';
import { type CheckRequest, encodeCheckRequest } from '../../src/wire/external-auth.js';
import { decodeCheckResponse, type ReceivedHeader } from '../../src/wire/received-response.js';
import { checkRequest, type Given } from './check-request.js';

/** One answer as Envoy would take it: the triple, the code and the rule that the log names. */
export interface Outcome {
  /** How Envoy reads it. */
  readonly effect: 'permit' | 'deny' | 'error';
  readonly rpcStatus: number | undefined;
  readonly httpStatus: number;
  readonly code: string;
  readonly rule: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly removed: readonly string[];
  readonly body: string;
  readonly record: CheckRecord;
}

/** Countersign in this process, on real files in a folder of its own. */
export interface World {
  readonly folder: string;
  readonly loader: Loader;
  readonly corp: Issuer;
  readonly board: Issuer;
  /** Decides one Check and reads the answer back from its bytes. */
  ask(given: Given | CheckRequest): Promise<Outcome>;
  askBytes(bytes: Uint8Array): Promise<Outcome>;
  write(path: string, text: string): void;
  /** Milliseconds that the clock is ahead of real time. */
  ahead: number;
  close(): void;
}

export const config = `version: 1
trust:
  spiffe: { trustDomains: [prod.example] }
  jwt:
    - name: corp
      issuer: https://idp.example
      audiences: [edge]
      algorithms: [ES256]
      jwks: { file: keys/corp.jwks.json }
      maxLifetime: 1h
  approvals:
    - name: change-board
      issuer: https://approvals.example
      audiences: [edge]
      algorithms: [ES256]
      jwks: { file: keys/board.jwks.json }
policies: [policies/]
facts: { environment: staging }
data: { posture: data/posture.yaml, revocations: data/revocations.yaml }
`;

/** The same, with time enough on a busy machine: for what is decided, not for how soon. */
export const patient = `${config}deadline: 10s\n`;

const posture = `version: 1
updatedAt: ${new Date().toISOString()}
identities: {}
`;

/**
 * @param files more files, or other content for the ones that are always there
 * @param reader what reads them; this thread unless said otherwise
 */
export async function createWorld(
  policy: string,
  files: Readonly<Record<string, string>> = {},
  reader: Reader = readHere(),
): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-test-'));
  const corp = await createIssuer('https://idp.example', 'corp-1');
  const board = await createIssuer('https://approvals.example', 'board-1');
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const all = {
    'countersign.yaml': config,
    'policies/p.yaml': policy,
    'keys/corp.jwks.json': JSON.stringify(corp.jwks),
    'keys/board.jwks.json': JSON.stringify(board.jwks),
    'data/posture.yaml': posture,
    'data/revocations.yaml': 'version: 1\n',
    ...files,
  };
  for (const [path, text] of Object.entries(all)) write(path, text);
  // The default is short of what a busy machine may take.
  if (!/^deadline:/m.test(all['countersign.yaml'])) {
    write('countersign.yaml', `${all['countersign.yaml']}deadline: 10s\n`);
  }
  const records: CheckRecord[] = [];
  const world: World = {
    folder,
    corp,
    board,
    write,
    ahead: 0,
    loader: new Loader({
      configFile: join(folder, 'countersign.yaml'),
      environment: {},
      nowMs: () => Date.now() + world.ahead,
      monotonicMs: () => performance.now() + world.ahead,
      reader,
    }),
    ask: (given) =>
      world.askBytes(
        encodeCheckRequest('attributes' in given ? given : checkRequest(given as Given)),
      ),
    askBytes: async (bytes) => {
      const answer = await check(bytes);
      const id = decisionIdOf(answer);
      const at = records.findIndex(({ decisionId }) => decisionId === id);
      const [record] = at < 0 ? [] : records.splice(at, 1);
      if (record === undefined) throw new Error('the decision was not recorded');
      return outcomeOf(answer, record);
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
  const check = createCheck({
    snapshot: () => world.loader.snapshot,
    nowMs: () => Date.now() + world.ahead,
    monotonicMs: () => performance.now(),
    newDecisionId: randomUUID,
    record: (record) => records.push(record),
  });
  await world.loader.load();
  return world;
}

function decisionIdOf(answer: Uint8Array): unknown {
  const decoded = decodeCheckResponse(answer);
  return decoded.ok ? decoded.value.dynamicMetadata?.['decision'] : undefined;
}

/** Reads an answer as Envoy does (ENVOY.md 1.2, the combination table). */
export function outcomeOf(bytes: Uint8Array, record: CheckRecord): Outcome {
  const decoded = decodeCheckResponse(bytes);
  if (!decoded.ok) throw new Error(`the answer cannot be read: ${decoded.reason}`);
  const { status, ok, denied, error } = decoded.value;
  const isPermit = (status ?? 0) === 0;
  const shown: readonly ReceivedHeader[] = (isPermit ? ok : denied)?.headers ?? [];
  return {
    effect: isPermit ? 'permit' : error === undefined ? 'deny' : 'error',
    rpcStatus: status,
    httpStatus: isPermit ? 200 : (denied?.httpStatus ?? 0),
    code: record.decision.code,
    rule: record.decision.rule?.id ?? '',
    headers: Object.fromEntries(shown.map(({ key, value }) => [key, value])),
    removed: ok?.headersToRemove ?? [],
    body: denied?.body ?? '',
    record,
  };
}

/** `permit permitted RULE` or `deny 403 CODE RULE`: what most tests want of an outcome. */
export function said({ effect, httpStatus, code, rule }: Outcome): string {
  const words = effect === 'permit' ? ['permit', rule] : ['deny', String(httpStatus), code, rule];
  return words.filter((word) => word !== '').join(' ');
}
