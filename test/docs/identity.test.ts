import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createWorld, said, type World } from '../support/world.js';

const [, policy = ''] =
  /```yaml\n(version: 1\npolicy: details[\s\S]*?)```/.exec(
    readFileSync('docs/identity.md', 'utf8'),
  ) ?? [];
const payment = (changes: object = {}) => ({
  sub: 'agent-7',
  authorization_details: [
    { type: 'account', actions: ['GET'] },
    { type: 'payment', actions: ['POST'], identifier: 'p-1', ...changes },
  ],
});
const pay = { method: 'POST', path: '/payments/p-1' };
const inbox = { method: 'GET', path: '/inbox' };
const unlike = 'deny 403 condition_false pay-what-was-agreed';

describe('the conditions of docs/identity.md', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  const rows = [
    {
      name: 'the agreed payment',
      claims: payment(),
      request: pay,
      want: 'permit pay-what-was-agreed',
    },
    { name: 'another payment', claims: payment({ identifier: 'p-2' }), request: pay, want: unlike },
    { name: 'another action', claims: payment({ actions: ['GET'] }), request: pay, want: unlike },
    { name: 'another type', claims: payment({ type: 'Payment' }), request: pay, want: unlike },
    {
      name: 'a detail without actions',
      claims: payment({ actions: undefined }),
      request: pay,
      want: unlike,
    },
    { name: 'no details', claims: { sub: 'agent-7' }, request: pay, want: unlike },
    {
      name: 'details that are no list',
      claims: { sub: 'agent-7', authorization_details: 'payment' },
      request: pay,
      want: unlike,
    },
    {
      name: 'the actor that may act',
      claims: { sub: 'agent-7', act: { sub: 'bot' }, may_act: { sub: 'bot' } },
      request: inbox,
      want: 'permit act-for-somebody',
    },
    {
      name: 'an actor that may not',
      claims: { sub: 'agent-7', act: { sub: 'bot' }, may_act: { sub: 'other' } },
      request: inbox,
      want: 'deny 403 condition_false act-for-somebody',
    },
    {
      name: 'an actor where nobody may act',
      claims: { sub: 'agent-7', act: { sub: 'bot' } },
      request: inbox,
      want: 'deny 403 condition_false act-for-somebody',
    },
  ];
  for (const { name, claims, request, want } of rows) {
    it(`answer ${name} with ${want}`, async () => {
      const authorization = `Bearer ${await world.corp.sign(claims)}`;
      expect(said(await world.ask({ ...request, headers: { authorization } }))).to.equal(want);
    });
  }
});
