import { parseArgs } from 'node:util';
import { reportArms } from './arm-report.js';
import { arms, armsOf } from './arms.js';
import { runRounds } from './rounds.js';
import { pinGenerator } from './servers.js';
import { armTable, type Figure, figureTable, reading } from './table.js';
import { createBenchPlace } from './workplace.js';

const { values } = parseArgs({
  options: {
    arms: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    concurrency: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
});
const chosen = values.arms === undefined ? arms : armsOf(values.arms.split(','));
const tell = (text: string) => process.stderr.write(`${text}\n`);
const unpinned = pinGenerator();
if (unpinned !== undefined) tell(unpinned);
const place = await createBenchPlace();
try {
  const reports = reportArms(
    await runRounds(
      place,
      chosen,
      {
        rounds: Number(values.rounds),
        ms: Number(values.seconds) * 1000,
        concurrency: Number(values.concurrency),
      },
      tell,
    ),
  );
  const figures: readonly Figure[] = [];
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ arms: reports, figures }, null, 1)}\n`
      : `${armTable(reports)}\n${reading(reports)}\n${figures.length > 0 ? `${figureTable(figures)}\n` : ''}`,
  );
} finally {
  place.remove();
}
