import { createPrivateKey, type KeyObject, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignJWT } from 'jose';
import type { ApprovalBoardConfig } from '../config/config-schema.js';
import { parseDuration } from '../document/units.js';
import { approvalType } from '../evidence/approval.js';
import { parseTemplate } from '../request/template.js';
import { algorithmKinds } from '../trust/jwks.js';
import { type Arguments, type Command, Misuse, needed, text } from './command.js';
import { readConfig } from './read-config.js';

/** `countersign approve`: signs a time-bound approval, bound to caller, methods and paths. */
export const approve: Command = {
  name: 'approve',
  summary: 'sign an approval for one caller, one use',
  operands: '',
  options: {
    subject: { type: 'string' },
    methods: { type: 'string' },
    paths: { type: 'string' },
    for: { type: 'string', default: '15m' },
    approver: { type: 'string' },
    key: { type: 'string' },
    kid: { type: 'string' },
    board: { type: 'string' },
  },
  help: [
    '--subject ID        the caller: a SPIFFE id or issuerName:subject',
    '--methods LIST      POST,DELETE',
    '--paths LIST        path templates, as in rules: /payments/{id}',
    '--for DURATION      how long it is good for (15m)',
    '--approver ID       who approves; not the caller',
    '--key FILE          the private key that signs, as JWK or PEM',
    '--kid ID            the key id, when the key file names none',
    '--board NAME        the entry of trust.approvals, when there are several',
  ],
  async run(args, io) {
    const config = readConfig(args, io);
    if (config === undefined) return 1;
    const board = chooseBoard(config.trust.approvals, text(args, 'board'));
    const signer = readKey(needed(args, 'key'), text(args, 'kid'), board.algorithms);
    const subject = needed(args, 'subject');
    const approver = needed(args, 'approver');
    if (approver === subject) throw new Misuse('--approver is the caller: somebody else approves');
    const seconds = lifetimeSeconds(needed(args, 'for'), board.maxLifetime);
    const grant = { methods: list(args, 'methods'), paths: templates(args) };
    const jwt = await new SignJWT({ approver, grant })
      .setProtectedHeader({
        alg: signer.algorithm,
        typ: approvalType,
        ...(signer.kid === undefined ? {} : { kid: signer.kid }),
      })
      .setIssuer(board.issuer)
      .setAudience(board.audiences[0] ?? '')
      .setSubject(subject)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${seconds}s`)
      .sign(signer.key);
    io.out(`${jwt}\n`);
    return 0;
  },
};

function chooseBoard(
  boards: readonly ApprovalBoardConfig[],
  name: string | undefined,
): ApprovalBoardConfig {
  const names = boards.map((board) => board.name).join(', ');
  if (boards.length === 0) throw new Misuse('the configuration has no trust.approvals');
  const [only] = name === undefined ? boards : boards.filter((board) => board.name === name);
  if (only === undefined) throw new Misuse(`--board is one of ${names}`);
  if (name === undefined && boards.length > 1) throw new Misuse(`--board is missing: ${names}`);
  return only;
}

interface Signer {
  readonly key: KeyObject;
  readonly algorithm: string;
  readonly kid: string | undefined;
}

/** Reads a private key (JWK or PEM); it signs with the first of the board's algorithms that fits. */
function readKey(file: string, kid: string | undefined, accepted: readonly string[]): Signer {
  const source = readFile(file);
  const jwk = parseJwk(source);
  const key = importKey(file, source, jwk);
  const curves: Readonly<Record<string, string>> = {
    prime256v1: 'EC P-256',
    secp384r1: 'EC P-384',
    secp521r1: 'EC P-521',
  };
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const kinds: Readonly<Record<string, string | undefined>> = {
    rsa: 'RSA',
    ec: curves[curve],
    ed25519: 'OKP Ed25519',
  };
  const fitting = algorithmKinds[kinds[key.asymmetricKeyType ?? ''] ?? ''] ?? [];
  const algorithm = accepted.find((name) => fitting.includes(name));
  if (algorithm === undefined) {
    throw new Misuse(`the key of ${file} signs with none of ${accepted.join(', ')}`);
  }
  return {
    key,
    algorithm,
    kid: kid ?? (typeof jwk?.['kid'] === 'string' ? jwk['kid'] : undefined),
  };
}

function readFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new Misuse(`the key file ${file} cannot be read`);
  }
}

function parseJwk(source: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(source);
  } catch {
    return undefined;
  }
}

function importKey(
  file: string,
  source: string,
  jwk: Record<string, unknown> | undefined,
): KeyObject {
  try {
    return jwk === undefined
      ? createPrivateKey(source)
      : createPrivateKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new Misuse(`${file} holds no private key in JWK or PEM`);
  }
}

function lifetimeSeconds(duration: string, maxLifetimeMs: number): number {
  const ms = parseDuration(duration);
  if (ms === undefined || ms < 1000) throw new Misuse('--for is a duration: 15m, 1h');
  if (ms > maxLifetimeMs) {
    throw new Misuse(`--for is longer than the board's maxLifetime (${maxLifetimeMs / 1000} s)`);
  }
  return Math.floor(ms / 1000);
}

function list(args: Arguments, name: string): string[] {
  const items = needed(args, name)
    .split(',')
    .map((item) => item.trim());
  if (items.some((item) => item === '')) throw new Misuse(`--${name} is a list with commas`);
  return items;
}

function templates(args: Arguments): string[] {
  return list(args, 'paths').map((path) => {
    const template = parseTemplate(path);
    if (typeof template === 'string') throw new Misuse(`--paths ${path}: ${template}`);
    return path;
  });
}
