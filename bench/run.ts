import { parseArgs } from 'node:util';
import { reportArms } from './arm-report.js';
import { arms, armsOf } from './arms.js';
import { endToEnd } from './end-to-end.js';
import { latency, memory, reload, startToReady } from './figures.js';
import { runRounds } from './rounds.js';
import { pinGenerator } from './servers.js';
import { armTable, type Figure, figureTable, machine, reading } from './table.js';
import { type BenchPlace, createBenchPlace } from './workplace.js';

const { values } = parseArgs({
  options: {
    arms: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    requests: { type: 'string', default: '1000000' },
    concurrency: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
});
const tell = (text: string) => process.stderr.write(`${text}\n`);
const ids = values.arms?.split(',');
const isChosen = (id: string) => ids === undefined || ids.includes(id);
const chosen = ids === undefined ? arms : armsOf(ids);
const seconds = Number(values.seconds);
const plan = {
  rounds: Number(values.rounds),
  ms: seconds * 1000,
  concurrency: Number(values.concurrency),
};
const unpinned = pinGenerator();
if (unpinned !== undefined) tell(unpinned);

const others: Readonly<Record<string, (place: BenchPlace) => Promise<readonly Figure[]>>> = {
  start: startToReady,
  latency: (place) => latency(place, seconds),
  reload,
  '12': () => endToEnd(seconds, tell),
  memory: (place) => memory(place, Number(values.requests)),
};

/** In a table as soon as it is there: a later figure that fails does not take it along. */
const show = (text: string) => process.stdout.write(values.json ? '' : `${text}\n`);

const place = await createBenchPlace();
try {
  show(`${machine()}\n`);
  const reports = chosen.length === 0 ? [] : reportArms(await runRounds(place, chosen, plan, tell));
  if (reports.length > 0) show(`${armTable(reports)}\n\n${reading(reports)}\n`);
  const figures: Figure[] = [];
  for (const [id, run] of Object.entries(others)) {
    if (!isChosen(id)) continue;
    tell(id);
    try {
      figures.push(...(await run(place)));
    } catch (error) {
      process.exitCode = 1;
      show(`${id} has NO FIGURE: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  if (figures.length > 0) show(figureTable(figures));
  if (values.json) {
    const result = { machine: machine(), arms: reports, figures };
    process.stdout.write(`${JSON.stringify(result, null, 1)}\n`);
  }
} finally {
  place.remove();
}
