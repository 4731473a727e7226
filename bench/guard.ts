import { expect } from 'chai';
import { type ArmReport, reportArms } from './arm-report.js';
import { armsOf } from './arms.js';
import { runRounds } from './rounds.js';
import { pinGenerator } from './servers.js';
import { createBenchPlace } from './workplace.js';

/**
 * `npm run bench:guard`: a gross loss of speed fails CI. Ratios of CPU time in one run are compared
 * with recorded ones, never times: they hold on a slow and on a busy machine. The bounds are wide,
 * because a neighbour's noise must not fail a change; `npm run bench` is for the fine differences.
 * A wrong answer fails it as well.
 */
const recorded = {
  /** Answers per core, relative to the floor. */
  throughputToFloor: { '2': 2, '3': 1.9 },
  /** CPU time per answer with 10,000 rules, relative to 10. */
  manyRules: 1.2,
};
const tolerated = 0.6;
const plan = { rounds: 7, ms: 500, concurrency: 64 };

describe('the speed, relative to a bare grpc-js server in the same run', () => {
  let reports: readonly ArmReport[] = [];
  before(async () => {
    pinGenerator();
    const place = await createBenchPlace();
    try {
      reports = reportArms(await runRounds(place, armsOf(['2', '3', '9a', '9c']), plan, () => {}));
    } finally {
      place.remove();
    }
  });
  /** The least CPU time of the rounds: noise only adds. */
  const leastUs = (id: string) => reports.find((report) => report.id === id)?.cpuUs.least ?? 0;
  const floorUs = () => Math.min(...reports.map(({ floorUs: { least } }) => least));

  for (const [id, usual] of Object.entries(recorded.throughputToFloor)) {
    it(`of arm ${id} is at least ${tolerated} of what was recorded, ${usual}`, () => {
      expect(floorUs() / leastUs(id)).to.be.at.least(tolerated * usual);
    });
  }

  it(`with 10,000 rules costs at most 1/${tolerated} of the recorded time, ${recorded.manyRules} of that with 10`, () => {
    expect(leastUs('9c') / leastUs('9a')).to.be.at.most(recorded.manyRules / tolerated);
  });

  it('is measured with answers of both kinds, each of them checked', () => {
    expect(reports.map(({ permits, denies }) => permits > 0 && denies > 0)).to.deep.equal([
      true,
      true,
      true,
      true,
    ]);
  });
});
