import { join } from 'node:path';
import { expect } from 'chai';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { after, before, describe, it } from 'mocha';
import { run } from '../../src/cli/run.js';
import { config, createWorld, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
principals: { bot: { spiffe: "spiffe://prod.example/ns/payments/sa/bot" } }
rules:
  - { id: pay, effect: permit, principals: [bot], methods: [POST], paths: ["/payments/{id}"], require: { approval: { from: change-board } } }
`;
const bot = 'spiffe://prod.example/ns/payments/sa/bot';

describe('the command line', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
    world.write('board.pem', await world.board.privatePem());
    world.write('broken.yaml', `${config}polices: []\n`);
    world.write('text.pem', 'no key');
  });
  after(() => world.close());

  const cli = async (...argv: string[]) => {
    let out = '';
    let err = '';
    const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
    const code = await run(argv, io);
    return { code, out, err };
  };
  const at = (name: string) => join(world.folder, name);
  const approve = (...more: string[]) => [
    ...['approve', '-c', at('countersign.yaml'), '--key', at('board.pem'), '--kid', 'board-1'],
    ...['--subject', bot, '--methods', 'POST', '--paths', '/payments/p-1', '--approver', 'maria'],
    ...more,
  ];

  const rows: readonly { name: string; argv: () => string[]; code: number; says: RegExp }[] = [
    { name: 'no command', argv: () => [], code: 2, says: /Usage: countersign COMMAND/ },
    { name: 'an unknown command', argv: () => ['sevre'], code: 2, says: /no command "sevre"/ },
    { name: 'help', argv: () => ['--help'], code: 0, says: /validate/ },
    { name: 'help of a command', argv: () => ['approve', '--help'], code: 0, says: /--approver/ },
    {
      name: 'an unknown option',
      argv: () => ['validate', '--strickt'],
      code: 2,
      says: /--strickt/,
    },
    {
      name: 'an operand too many',
      argv: () => ['validate', 'x'],
      code: 2,
      says: /"x" is not expected/,
    },
    {
      name: 'a configuration that is not there',
      argv: () => ['validate', '-c', at('none.yaml')],
      code: 2,
      says: /there is no file/,
    },
    { name: 'its version', argv: () => ['--version'], code: 0, says: /^\d+\.\d+\.\d+\n$/ },
    {
      name: 'a good configuration',
      argv: () => ['validate', '-c', at('countersign.yaml')],
      code: 0,
      says: /1 rules, revision [0-9a-f]{12}; 0 errors/,
    },
    {
      name: 'a broken configuration',
      argv: () => ['validate', '-c', at('broken.yaml')],
      code: 1,
      says: /broken\.yaml:\d+:1: error: unknown key "polices" – did you mean "policies"\?/,
    },
    {
      name: 'serving a broken configuration',
      argv: () => ['serve', '-c', at('broken.yaml')],
      code: 1,
      says: /unknown key "polices"/,
    },
    {
      name: 'an approval without a subject',
      argv: () => ['approve', '-c', at('countersign.yaml'), '--key', at('board.pem')],
      code: 2,
      says: /--subject is missing/,
    },
    {
      name: 'an approval by the caller',
      argv: () => approve('--approver', bot),
      code: 2,
      says: /somebody else approves/,
    },
    {
      name: 'an approval that lives too long',
      argv: () => approve('--for', '1h'),
      code: 2,
      says: /longer than the board's maxLifetime/,
    },
    {
      name: 'an approval with what is no key',
      argv: () => approve('--key', at('text.pem')),
      code: 2,
      says: /holds no private key/,
    },
    {
      name: 'an approval by a board that is none',
      argv: () => approve('--board', 'x'),
      code: 2,
      says: /--board is one of change-board/,
    },
    {
      name: 'an approval for a path that is none',
      argv: () => approve('--paths', 'payments'),
      code: 2,
      says: /begins with "\/"/,
    },
  ];
  for (const { name, argv, code, says } of rows) {
    it(`answers ${name} with exit code ${code}`, async () => {
      const result = await cli(...argv());
      expect(`${result.out}${result.err}`).to.match(says);
      expect(result.code).to.equal(code);
    });
  }

  it('prints an approval alone on stdout, and it is accepted', async () => {
    const { code, out, err } = await cli(...approve());
    expect([code, err]).to.deep.equal([0, '']);
    const jwt = out.trim();
    expect(decodeProtectedHeader(jwt)).to.deep.equal({
      alg: 'ES256',
      typ: 'nhi-approval+jwt',
      kid: 'board-1',
    });
    expect(decodeJwt(jwt)).to.deep.include({
      sub: bot,
      approver: 'maria',
      aud: 'edge',
      iss: 'https://approvals.example',
    });
    const headers = { 'x-countersign-approval': jwt };
    const outcome = await world.ask({
      method: 'POST',
      path: '/payments/p-1',
      principal: bot,
      headers,
    });
    expect(said(outcome)).to.equal('permit pay');
  });

  it('gives findings as JSON', async () => {
    const { out } = await cli('validate', '--json', '-c', at('broken.yaml'));
    expect(JSON.parse(out)).to.deep.include({ errors: 1, warnings: 0 });
  });
});
