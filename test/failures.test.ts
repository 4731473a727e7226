import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { type CheckRecord, createCheck, type Snapshot } from '../src/check.js';
import { encodeCheckRequest } from '../src/wire/external-auth.js';
import { checkRequest } from './support/check-request.js';
import { createWorld, type Outcome, outcomeOf, said, type World } from './support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: any, effect: permit, principals: [anyone], paths: [/] }
`;
const never = new Promise<never>(() => {});

/** A part that fails: put in the place of a real one, to see where its failure ends. */
const failing: readonly {
  name: string;
  part: (good: Snapshot) => Partial<Snapshot>;
  want: string;
}[] = [
  {
    name: 'the rule index throws',
    part: ({ policy: good }) => ({
      policy: {
        ...good,
        candidates: () => {
          throw new Error('eyJ secret');
        },
      },
    }),
    want: 'deny 503 internal_error',
  },
  {
    name: 'the identity room throws what is no Error',
    part: () => ({
      identifier: {
        identify: () => {
          // biome-ignore lint/style/useThrowOnlyError: a library may throw anything
          throw 'eyJ secret';
        },
      },
    }),
    want: 'deny 503 internal_error',
  },
  {
    name: 'a verification rejects',
    part: () => ({ identifier: { identify: () => Promise.reject(new Error('eyJ secret')) } }),
    want: 'deny 503 internal_error',
  },
  {
    name: 'a verification never ends',
    part: () => ({ identifier: { identify: () => never } }),
    want: 'deny 503 deadline_exceeded',
  },
  {
    name: 'the approval verifier throws',
    part: () => ({
      approvals: {
        verify: () => {
          throw new TypeError('x');
        },
      },
    }),
    want: 'deny 503 internal_error',
  },
  {
    name: 'the budget is over before it began',
    part: () => ({ budgetMs: -1 }),
    want: 'deny 503 deadline_exceeded',
  },
  {
    name: 'too many Checks are in flight',
    part: () => ({ maxInFlight: 0 }),
    want: 'deny 503 overloaded',
  },
];

describe('a Check when something fails', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  const ask = async (
    part: (good: Snapshot) => Partial<Snapshot>,
    { timeoutMs, waitedMs = 0 }: { timeoutMs?: number; waitedMs?: number } = {},
  ): Promise<Outcome> => {
    const good = world.loader.snapshot;
    if (good === undefined) throw new Error('nothing is loaded');
    const records: CheckRecord[] = [];
    const check = createCheck({
      snapshot: () => ({ ...good, budgetMs: 50, ...part(good) }),
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      newDecisionId: () => 'id',
      record: (record) => records.push(record),
      waitedMs: () => waitedMs,
    });
    const answer = await check(encodeCheckRequest(checkRequest({ path: '/' })), timeoutMs);
    const [record] = records;
    if (record === undefined) throw new Error('the decision was not recorded');
    return outcomeOf(answer, record);
  };

  it('permits when nothing does', async () => {
    expect(said(await ask(() => ({})))).to.equal('permit any');
  });

  for (const { name, part, want } of failing) {
    it(`denies explicitly when ${name}`, async () => {
      const outcome = await ask(part);
      expect(said(outcome)).to.equal(want);
      expect([outcome.rpcStatus, outcome.httpStatus]).to.deep.equal([14, 503]);
      expect(`${outcome.body}${JSON.stringify(outcome.record)}`).to.not.include('secret');
    });
  }

  const forever = { identifier: { identify: () => never } };
  const waits: readonly {
    name: string;
    given: { timeoutMs?: number; waitedMs?: number };
    part?: Partial<Snapshot>;
    want: string;
  }[] = [
    {
      name: 'decides for a caller that waits long enough',
      given: { timeoutMs: 5_000, waitedMs: 20 },
      want: 'permit any',
    },
    {
      name: 'ends when its caller waits no longer, before its own budget (row 124)',
      given: { timeoutMs: 30 },
      part: { budgetMs: 3_600_000, ...forever },
      want: 'deny 503 deadline_exceeded',
    },
    {
      name: 'counts the wait for its turn as its caller does',
      given: { timeoutMs: 200, waitedMs: 95 },
      part: { budgetMs: 3_600_000, ...forever },
      want: 'deny 503 deadline_exceeded',
    },
    {
      name: 'decides nothing for a caller whose time was over before (row 124)',
      given: { timeoutMs: 0 },
      want: 'deny 503 deadline_exceeded',
    },
    {
      name: 'is not begun when it waited for half of what its caller waits',
      given: { timeoutMs: 200, waitedMs: 101 },
      want: 'deny 503 overloaded',
    },
    {
      name: 'is not begun after five budgets in the queue, however long its caller waits',
      given: { timeoutMs: 600_000, waitedMs: 251 },
      want: 'deny 503 overloaded',
    },
    {
      name: 'is begun after less than five budgets in the queue of a caller that names no time',
      given: { waitedMs: 249 },
      want: 'permit any',
    },
  ];
  for (const { name, given, part = {}, want } of waits) {
    it(`${name}`, async () => {
      expect(said(await ask(() => part, given))).to.equal(want);
    });
  }
});
