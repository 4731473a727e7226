import { createPrivateKey, type KeyObject, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type JWK, SignJWT } from 'jose';
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
    const seconds = lifetimeSeconds(needed(args, 'for'), board.maxLifetimeMs);
    const grant = { methods: list(args, 'methods'), paths: templates(args) };
    const jwt = await new SignJWT({ approver, grant })
      .setProtectedHeader({
        alg: signer.algorithm,
        typ: 'nhi-approval+jwt',
        ...(signer.kid === undefined ? {} : { kid: signer.kid }),
      })
      .setIssuer(board.issuer)
      .setAudience(audienceOf(board))
      .setSubject(subject)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${seconds}s`)
      .sign(signer.key);
    io.out(`${jwt}\n`);
    return 0;
  },
};
