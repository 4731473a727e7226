import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { CheckRecord } from '../../src/check.js';
import { denyOutright } from '../../src/decision/decision.js';
import { denyCodesByStatus } from '../../src/errors.js';
import { createMetrics } from '../../src/observe/metrics.js';
import type { Observed } from '../../src/observe/state-metrics.js';
import { createSum } from '../../src/observe/sum.js';
import { busy, quiet } from '../support/observed.js';
import { itWithPromtool, runPromtool } from '../support/promtool.js';
import { createWorld, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: read, effect: permit, principals: [anyone], methods: [GET], paths: [/a] }
  - { id: never, effect: deny, methods: [GET], paths: [/b] }
  - { id: soon, effect: deny, mode: shadow, methods: [GET], paths: [/a] }
`;

async function render(state: Observed, records: readonly CheckRecord[] = []): Promise<string> {
  const metrics = createMetrics(() => state);
  for (const record of records) metrics.observe(record);
  return (await metrics.render()).text;
}

/** What the primary of several workers adds. */
async function renderSum(): Promise<string> {
  const sum = createSum(2, () => ({ entries: 3, capacity: 9, unavailable: 0 }));
  return (await sum.render(new Map())).text;
}

/** The samples of one metric, as the text has them. */
const samples = (text: string, name: string) =>
  text.split('\n').filter((line) => new RegExp(`^${name}(_bucket|_sum|_count)?[{ ]`).test(line));

describe('metrics', () => {
  let world: World;
  let permit: CheckRecord;
  let denied: CheckRecord;
  let unknown: CheckRecord;
  before(async () => {
    world = await createWorld(policy);
    permit = (await world.ask({ method: 'GET', path: '/a' })).record;
    denied = (await world.ask({ method: 'GET', path: '/b' })).record;
    unknown = (await world.ask({ method: 'GET', path: '/c' })).record;
  });
  after(() => world.close());

  it('are those that docs/metrics.md lists, with their types and labels', async () => {
    const text = `${await render(busy, [permit])}${await renderSum()}`;
    const shown = [...text.matchAll(/^# TYPE (countersign_\S+) (\S+)$/gm)].map(
      ([, name = '', type = '']) => `${name} ${type} ${labelsOf(text, name)}`.trim(),
    );
    const page = readFileSync('docs/metrics.md', 'utf8');
    const listed = [...page.matchAll(/^\| `(countersign_\w+)` \| (\w+) \| (.*?) ?\| /gm)].map(
      ([, name, type, labels = '']) =>
        `${name} ${type} ${[...labels.matchAll(/\w+/g)].sort().join(' ')}`.trim(),
    );
    expect([...new Set(shown)].sort()).to.deep.equal(listed.sort());
  });

  it('count decisions by effect, code and rule', async () => {
    const text = await render(quiet, [permit, permit, denied, unknown]);
    expect(samples(text, 'countersign_decisions_total')).to.have.members([
      'countersign_decisions_total{effect="permit",code="permitted",rule="read"} 2',
      'countersign_decisions_total{effect="deny",code="denied_by_rule",rule="never"} 1',
      'countersign_decisions_total{effect="deny",code="no_rule",rule=""} 1',
    ]);
  });

  it('have every code from the start, so that an alert sees the first of a kind', async () => {
    const lines = samples(await render(quiet, [denied]), 'countersign_answers_total');
    const codes = ['permitted', ...Object.values(denyCodesByStatus).flat()];
    const want = codes.map(
      (code) => `countersign_answers_total{code="${code}"} ${code === 'denied_by_rule' ? 1 : 0}`,
    );
    expect(lines.sort()).to.deep.equal(want.sort());
  });

  it('count what a rule in shadow mode would have turned', async () => {
    const text = await render(quiet, [permit, denied]);
    expect(samples(text, 'countersign_shadow_flips_total')).to.deep.equal([
      'countersign_shadow_flips_total{rule="soon",effect="deny"} 1',
    ]);
  });

  it('count again from the start of nothing at each scrape: two scrapes say the same', async () => {
    const metrics = createMetrics(() => busy);
    metrics.observe(permit);
    const count = async () =>
      (await metrics.render()).text.split('\n').filter((line) => line.startsWith('countersign_'));
    expect(await count()).to.deep.equal(await count());
  });

  it('give a thousand rules a label, and all others one', async () => {
    const { rule } = permit.decision;
    if (rule === undefined) throw new Error('a permit names its rule');
    const many = Array.from({ length: 1200 }, (_, at) => ({
      ...denied,
      decision: { ...denyOutright('condition_false', ''), rule: { ...rule, id: `r${at}` } },
    }));
    const lines = samples(await render(quiet, many), 'countersign_decisions_total');
    expect(lines).to.have.length(1001);
    expect(lines.at(-1)).to.match(/rule="other"\} 200$/);
  });

  it('put each duration into the buckets that hold it', async () => {
    const took = [20, 50, 51, 900_000].map((durationUs) => ({ ...permit, durationUs }));
    const lines = samples(await render(quiet, took), 'countersign_decision_seconds');
    expect(lines).to.include.members([
      'countersign_decision_seconds_bucket{le="0.00005"} 2',
      'countersign_decision_seconds_bucket{le="0.0001"} 3',
      'countersign_decision_seconds_bucket{le="0.25"} 3',
      'countersign_decision_seconds_bucket{le="+Inf"} 4',
      'countersign_decision_seconds_sum 0.900121',
      'countersign_decision_seconds_count 4',
    ]);
  });

  it('of several workers are those of one process', async () => {
    const sum = createSum(2, () => ({ entries: 3, capacity: 9, unavailable: 0 }));
    const worker = async (state: Observed, records: readonly CheckRecord[]) => {
      const metrics = createMetrics(() => state);
      for (const record of records) metrics.observe(record);
      return metrics.counts();
    };
    const shared = { entries: undefined, capacity: undefined, unavailable: 1 };
    const ready = { ...busy, replay: shared };
    const notReady = { ...quiet, inFlight: 1, replay: shared };
    const counted = [await worker(ready, [permit, denied]), await worker(notReady, [permit])];
    sum.dropped(2);
    const { text } = await sum.render(new Map(counted.map((one, at) => [at + 1, one])));
    expect(text.split('\n')).to.include.members([
      'countersign_decisions_total{effect="permit",code="permitted",rule="read"} 2',
      'countersign_answers_total{code="denied_by_rule"} 1',
      'countersign_decision_seconds_count 3',
      'countersign_ready 0',
      'countersign_in_flight 4',
      'countersign_files_broken{what="policies"} 1',
      'countersign_loaded_timestamp_seconds{what="policies"} 1700000001',
      'countersign_posture_updated_timestamp_seconds 1700000000',
      'countersign_replay_entries 3',
      'countersign_replay_capacity 9',
      'countersign_replay_unavailable_total 2',
      'countersign_decision_log_dropped_total 6',
      'countersign_workers{state="answering"} 2',
    ]);
  });

  it('show no value where there is none, so that no alert takes 0 for one', async () => {
    const text = await render(quiet);
    for (const name of ['policy_rules', 'posture_updated_timestamp_seconds', 'replay_entries']) {
      expect(samples(text, `countersign_${name}`)).to.deep.equal([]);
    }
  });

  itWithPromtool("pass Prometheus' own check", async () => {
    const text = await render(busy, [permit, denied, unknown]);
    const { stdout, stderr, status } = runPromtool(['check', 'metrics'], text);
    const own = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('countersign_'));
    expect(own).to.deep.equal([]);
    // 3: complaints, here about metrics of prom-client alone (nodejs_active_handles_total and kin).
    expect(status).to.be.oneOf([0, 3]);
  });
});

/** The label names of a metric's first sample, in order of the alphabet. */
function labelsOf(text: string, name: string): string {
  const [first = ''] = samples(text, name);
  return [...first.matchAll(/(\w+)="/g)]
    .map(([, label = '']) => label)
    .sort()
    .join(' ');
}
