import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
principals:
  bot: { spiffe: "spiffe://prod.example/ns/payments/sa/bot" }
  robot: { jwt: { issuer: corp, subject: robot } }
rules:
  - { id: pay, effect: permit, principals: [bot, robot], methods: [POST, DELETE], paths: ["/payments/{id}"], require: { approval: { from: change-board } } }
  - { id: read, effect: permit, principals: [bot], methods: [GET], paths: ["/payments/{id}"] }
  - { id: who, effect: permit, principals: [bot], methods: [PUT], paths: ["/payments/{id}"], require: { approval: { from: change-board } }, when: 'approval.claims.approver == "maria" && false' }
`;
const bot = 'spiffe://prod.example/ns/payments/sa/bot';
const header = { typ: 'nhi-approval+jwt', kid: 'board-1' };
const now = () => Math.floor(Date.now() / 1000);
const grant = { methods: ['POST'], paths: ['/payments/p-1'] };
const claims = { sub: bot, approver: 'maria', grant };

const rows: readonly { name: string; claims?: object; header?: object; want: string }[] = [
  { name: 'for this caller, method and path', want: 'permit pay' },
  {
    name: 'for a template',
    claims: { grant: { methods: ['POST'], paths: ['/payments/{id}'] } },
    want: 'permit pay',
  },
  { name: 'for another subject (D10)', claims: { sub: 'corp:robot' }, want: 'approval_mismatch' },
  {
    name: 'for another method (D10)',
    claims: { grant: { ...grant, methods: ['DELETE'] } },
    want: 'approval_mismatch',
  },
  {
    name: 'for another object (D10)',
    claims: { grant: { ...grant, paths: ['/payments/p-2'] } },
    want: 'approval_mismatch',
  },
  { name: 'for another audience (D10)', claims: { aud: 'other' }, want: 'approval_invalid' },
  {
    name: 'that has expired (D11)',
    claims: { iat: now() - 700, exp: now() - 100 },
    want: 'approval_expired',
  },
  { name: 'that is not yet valid (D11)', claims: { iat: now() + 3000 }, want: 'approval_invalid' },
  { name: 'that lives too long (D11)', claims: { exp: now() + 3600 }, want: 'approval_invalid' },
  { name: 'by the caller itself (D14)', claims: { approver: bot }, want: 'approval_invalid' },
  { name: 'by nobody', claims: { approver: undefined }, want: 'approval_invalid' },
  { name: 'without a jti', claims: { jti: undefined }, want: 'approval_invalid' },
  { name: 'without a grant', claims: { grant: undefined }, want: 'approval_invalid' },
  {
    name: 'of an empty grant',
    claims: { grant: { methods: [], paths: [] } },
    want: 'approval_invalid',
  },
  {
    name: 'for a path that is no template',
    claims: { grant: { ...grant, paths: ['/payments/*.json'] } },
    want: 'approval_invalid',
  },
  {
    name: 'that is bound to a key, which nobody here checks',
    claims: { cnf: { jkt: 'x' } },
    want: 'approval_invalid',
  },
  { name: 'of another type', header: { typ: 'at+jwt', kid: 'board-1' }, want: 'approval_invalid' },
];

describe('an approval (IDENTITY.md 6 D)', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy, { 'countersign.yaml': patient });
  });
  after(() => world.close());
  const ask = async (approval: string | undefined, more: object = {}) => {
    const headers = approval === undefined ? {} : { 'x-countersign-approval': approval };
    const given = { method: 'POST', path: '/payments/p-1', principal: bot, headers, ...more };
    const outcome = await world.ask(given);
    return outcome.effect === 'permit' ? said(outcome) : outcome.code;
  };

  for (const { name, claims: other, header: head, want } of rows) {
    it(`${name}: ${want}`, async () => {
      expect(await ask(await world.board.sign({ ...claims, ...other }, head ?? header))).to.equal(
        want,
      );
    });
  }

  it('signed by the identity issuer is none (D13)', async () => {
    const forged = await world.corp.sign({ ...claims, iss: 'https://approvals.example' }, header);
    expect(await ask(forged)).to.equal('approval_invalid');
  });

  for (const [approver, want] of [
    ['maria', 'approval_invalid'],
    ['corp:maria', 'approval_invalid'],
    ['robot', 'approval_invalid'],
    ['corp:robot', 'approval_invalid'],
    ['other:maria', 'permit pay'],
  ]) {
    it(`by ${approver}, for robot with maria as its actor (D14): ${want}`, async () => {
      const token = await world.corp.sign({ sub: 'robot', act: { sub: 'maria' } });
      const approval = await world.board.sign({ ...claims, sub: 'corp:robot', approver }, header);
      const headers = { authorization: `Bearer ${token}`, 'x-countersign-approval': approval };
      expect(await ask(undefined, { principal: '', headers })).to.equal(want);
    });
  }

  it('sent twice is ambiguous, whether or not a rule asks for one (D17)', async () => {
    const approval = await world.board.sign(claims, header);
    const line = ['x-countersign-approval', approval] as const;
    expect(await ask(undefined, { headers: {}, lines: [line, line] })).to.equal(
      'credential_ambiguous',
    );
    const joined = { 'x-countersign-approval': `${approval},${approval}` };
    expect(await ask(undefined, { method: 'GET', headers: joined })).to.equal(
      'credential_ambiguous',
    );
  });

  it('is not spent where no rule asks for it, nor by a rule that fails', async () => {
    const both = { ...claims, grant: { methods: ['POST', 'PUT'], paths: ['/payments/p-1'] } };
    const approval = await world.board.sign(both, header);
    const headers = { 'x-countersign-approval': approval };
    expect(await ask(undefined, { method: 'GET', headers, id: 'a' })).to.equal('permit read');
    expect(await ask(undefined, { method: 'PUT', headers, id: 'b' })).to.equal('condition_false');
    expect(await ask(approval, { id: 'c' })).to.equal('permit pay');
    expect(await ask(approval, { id: 'd' })).to.equal('approval_used');
  });

  it('that is revoked is none', async () => {
    const approval = await world.board.sign({ ...claims, jti: 'gone' }, header);
    world.write(
      'data/revocations.yaml',
      'version: 1\ntokens: [{ issuer: change-board, jti: gone }]\n',
    );
    await world.loader.load();
    expect(await ask(approval)).to.equal('approval_invalid');
    world.write('data/revocations.yaml', 'version: 1\n');
    await world.loader.load();
  });
});

describe('posture', () => {
  const asking = `version: 1
policy: p
rules:
  - { id: plain, effect: permit, principals: [authenticated], paths: [/] }
  - { id: good, effect: permit, principals: [authenticated], paths: [/good], require: { posture: { status: [active], secretStatus: [ok], maxAge: 1h } } }
`;
  const file = (entry: string, at = new Date().toISOString()) =>
    `version: 1\nupdatedAt: ${at}\nidentities: { "${bot}": ${entry} }\n`;
  const old = new Date(Date.now() - 7_200_000).toISOString();
  const table: readonly { name: string; posture: string; path: string; want: string }[] = [
    {
      name: 'active and ok',
      posture: file('{ status: active, secretStatus: ok }'),
      path: '/good',
      want: 'permit good',
    },
    {
      name: 'suspended is refused everywhere',
      posture: file('{ status: suspended }'),
      path: '/',
      want: 'posture_refused',
    },
    {
      name: 'leaked is refused everywhere',
      posture: file('{ status: active, secretStatus: leaked }'),
      path: '/',
      want: 'posture_refused',
    },
    {
      name: 'rotation-due is refused where the rule says ok',
      posture: file('{ status: active, secretStatus: rotation-due }'),
      path: '/good',
      want: 'posture_refused',
    },
    {
      name: 'rotation-due passes elsewhere',
      posture: file('{ status: active, secretStatus: rotation-due }'),
      path: '/',
      want: 'permit plain',
    },
    {
      name: 'a secret that is not listed',
      posture: file('{ status: active }'),
      path: '/good',
      want: 'posture_refused',
    },
    {
      name: 'a caller that is not listed',
      posture: 'version: 1\nupdatedAt: 2026-01-01\n',
      path: '/good',
      want: 'posture_unknown',
    },
    {
      name: 'an old file',
      posture: file('{ status: active, secretStatus: ok }', old),
      path: '/good',
      want: 'posture_stale',
    },
    {
      name: 'a credential older than notBefore, or of no known age',
      posture: file('{ status: active, notBefore: 2026-01-01 }'),
      path: '/',
      want: 'posture_refused',
    },
  ];
  for (const { name, posture, path, want } of table) {
    it(`${name}: ${want}`, async () => {
      const world = await createWorld(asking, { 'data/posture.yaml': posture });
      const outcome = await world.ask({ path, principal: bot });
      expect(outcome.effect === 'permit' ? said(outcome) : outcome.code).to.equal(want);
      world.close();
    });
  }
});
