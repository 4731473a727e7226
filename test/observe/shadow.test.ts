import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { createMetrics } from '../../src/observe/metrics.js';
import { quiet } from '../support/observed.js';
import { createWorld, said, type World } from '../support/world.js';

const enforced = `version: 1
policy: enforced
principals: { one: { spiffe: "spiffe://prod.example/ns/a/sa/one" } }
rules:
  - { id: read, effect: permit, principals: [one], methods: [GET], paths: ["/a/{id}"] }
  - { id: no-b, effect: deny, paths: [/a/b] }
  - { id: would-deny, effect: deny, mode: shadow, paths: [/a/c] }
`;
const trial = `version: 1
policy: trial
mode: shadow
principals: { one: { spiffe: "spiffe://prod.example/ns/a/sa/one" } }
rules:
  - { id: would-permit, effect: permit, principals: [one], paths: ["/a/{id}", /new] }
  - { id: really-denies, effect: deny, mode: enforce, paths: [/a/d] }
`;
const principal = 'spiffe://prod.example/ns/a/sa/one';

describe('rules and files in shadow mode', () => {
  let world: World;
  before(async () => {
    world = await createWorld(enforced, { 'policies/trial.yaml': trial });
  });
  after(() => world.close());

  /** A decision, the shadows beside it, and what is counted of it. */
  async function decided(path: string) {
    const outcome = await world.ask({ path, principal });
    const { record } = outcome;
    const metrics = createMetrics(() => quiet);
    metrics.observe(record);
    const { text } = await metrics.render();
    const counted = [...text.matchAll(/^countersign_shadow_flips_total\{(.*)\} 1$/gm)];
    return {
      decision: said(outcome),
      shadow: record.decision.shadow.map(({ rule, effect }) => `${effect} ${rule}`),
      counted: counted.map(([, labels]) => labels),
    };
  }

  const rows = [
    {
      name: 'a deny beside a permit is counted, and a permit is not',
      path: '/a/c',
      want: {
        decision: 'permit read',
        shadow: ['deny would-deny', 'permit would-permit'],
        counted: ['rule="would-deny",effect="deny"'],
      },
    },
    {
      name: 'a permit beside a deny for want of a rule is counted',
      path: '/new',
      want: {
        decision: 'deny 403 no_rule',
        shadow: ['permit would-permit'],
        counted: ['rule="would-permit",effect="permit"'],
      },
    },
    {
      name: 'a permit beside the deny of a rule would turn nothing',
      path: '/a/b',
      want: {
        decision: 'deny 403 denied_by_rule no-b',
        shadow: ['permit would-permit'],
        counted: [],
      },
    },
    {
      name: 'a rule of a file in shadow mode may be enforced',
      path: '/a/d',
      want: {
        decision: 'deny 403 denied_by_rule really-denies',
        shadow: ['permit would-permit'],
        counted: [],
      },
    },
    {
      name: 'nothing where none matches',
      path: '/else',
      want: { decision: 'deny 403 no_rule', shadow: [], counted: [] },
    },
  ];
  for (const { name, path, want } of rows) {
    it(name, async () => expect(await decided(path)).to.deep.equal(want));
  }
});
