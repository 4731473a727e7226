import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { type Flood, openFlood } from '../bench/flood.js';
import { type Measured, startMeasured } from '../bench/mixed-load.js';
import { until } from '../examples/quickstart/sidecar.js';

const total = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((sum, one) => sum + one, 0);

describe('a sidecar that is asked ten times as much as it can answer', () => {
  let measured: Measured;
  let flood: Flood;
  before(async function () {
    this.timeout(60_000);
    measured = await startMeasured();
    flood = await openFlood({ port: measured.workplace.ports.countersign }, measured.questions);
  });
  after(async () => {
    flood.close();
    await measured.stop();
  });

  it('answers explicitly or not at all, never wrongly, and as before afterwards (row 127)', async function () {
    this.timeout(60_000);
    const { perSecond } = await flood.loop(64, 1_000);
    const { counts, wrong } = await flood.offer(10 * perSecond, 2_000);
    expect(wrong).to.deep.equal([]);
    expect(counts['right'], 'some are still decided').to.be.greaterThan(0);
    expect(total(counts) - (counts['right'] ?? 0), 'and some not').to.be.greaterThan(0);
    await until(async () => {
      const calm = await flood.offer(perSecond / 10, 500);
      return calm.counts['right'] === total(calm.counts);
    }, 'it does not recover');
  });
});
