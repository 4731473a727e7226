import { expect } from 'chai';
import fc from 'fast-check';
import { after, before, describe, it } from 'mocha';
import { decisionRecord } from '../src/observe/decision-record.js';
import { createMetrics } from '../src/observe/metrics.js';
import { quiet } from './support/observed.js';
import { createWorld, type World } from './support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: read, effect: permit, principals: [anyone], methods: [GET], paths: ["/a/{x}"], when: 'request.headers["x-a"] != "1"' }
  - { id: write, effect: permit, principals: [authenticated], methods: [POST], paths: ["/a/{x}"], when: request.body.x == 1 }
  - { id: pay, effect: permit, principals: [anyone], methods: [PUT], paths: ["/**"], require: { approval: { from: change-board } } }
  - { id: mcp, effect: permit, principals: [anyone], paths: [/mcp], mcp: { tools: [t] } }
`;
const credentialHeaders = new Set([
  'authorization',
  'cookie',
  'x-countersign-approval',
  'x-api-key',
  'dpop',
]);
const secret = 'S3CRET';

describe('what is secret', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  it('is in no answer, no record and no metric, whatever the request', async () => {
    const metrics = createMetrics(() => quiet);
    const good = await world.corp.sign({ sub: 'robot' });
    const forged = `${good.slice(0, -8)}${secret}xx`;
    const part = fc.constantFrom(
      secret,
      `Bearer ${secret}`,
      `Bearer ${forged}`,
      `DPoP ${forged}`,
      `a,${secret}`,
    );
    const request = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT'),
      path: fc.constantFrom('/a/b', '/mcp', '/other', `/a/b?token=${secret}`, '/a//b'),
      rawBody: fc.constantFrom('', `{"x":"${secret}"}`, `{"x":1,"y":"${secret}"}`, secret),
      headers: fc.record(
        {
          authorization: part,
          cookie: part,
          dpop: part,
          'x-api-key': part,
          'x-countersign-approval': part,
          'content-type': fc.constantFrom('application/json', 'application/grpc'),
        },
        { requiredKeys: [] },
      ),
    });
    await fc.assert(
      fc.asyncProperty(request, async (given) => {
        const outcome = await world.ask(given);
        metrics.observe(outcome.record);
        const out = JSON.stringify([
          outcome.body,
          outcome.headers,
          outcome.removed,
          decisionRecord(outcome.record, 'basic', credentialHeaders),
          decisionRecord(outcome.record, 'full', credentialHeaders),
          outcome.record.decision.effect === 'deny' ? outcome.record.decision.detail : '',
        ]);
        expect(out).to.not.include(secret);
      }),
      { seed: 17, numRuns: 1500 },
    );
    expect((await metrics.render()).text).to.not.include(secret);
  });
});
