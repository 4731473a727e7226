import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { respond } from '../../src/response/respond.js';
import { createWorld, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [anyone], paths: [/, /a] }
  - { id: no, effect: deny, paths: [/a] }
`;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('an answer that was encoded before', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  const paths = ['/', '/a', '/none', '//'];
  for (const path of paths) {
    it(`is, to the byte, the one encoded for its own decision id: ${path}`, async () => {
      const principal = 'spiffe://prod.example/a';
      const { record } = await world.ask({ path, principal });
      const options = {
        identityHeaders: true,
        removeCredentials: false,
        resourceMetadata: '',
        approvalHeaders: ['x-countersign-approval'],
      };
      const context = (decisionId: string) => ({
        decisionId,
        revision: record.revision,
        request: record.seen.request,
        tokenHeader: undefined,
        mcp: undefined,
      });
      for (let times = 0; times < 3; times += 1) {
        const id = randomUUID();
        const cached = respond(record.decision, context(id), options);
        const fresh = respond(record.decision, context(id), { ...options });
        expect(hex(cached)).to.equal(hex(fresh));
        expect(Buffer.from(cached).includes(id)).to.equal(true);
      }
    });
  }

  it('never lends a principal to another caller, nor one caller’s headers to another', async () => {
    const ask = (principal: string, headers = {}) => world.ask({ path: '/', principal, headers });
    const first = await ask('spiffe://prod.example/a');
    const second = await ask('spiffe://prod.example/b', { 'x-countersign-role': 'admin' });
    const third = await ask('spiffe://prod.example/a');
    expect(first.headers['x-countersign-principal']).to.equal('spiffe://prod.example/a');
    expect(second.headers['x-countersign-principal']).to.equal('spiffe://prod.example/b');
    expect(second.removed).to.include('x-countersign-role');
    expect(third.headers['x-countersign-principal']).to.equal('spiffe://prod.example/a');
    const ids = [first, second, third].map(({ headers }) => headers['x-countersign-decision']);
    expect(new Set(ids).size).to.equal(3);
  });
});
