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

const place = await createBenchPlace();
try {
  const reports = chosen.length === 0 ? [] : reportArms(await runRounds(place, chosen, plan, tell));
  const figures: Figure[] = [];
  for (const [id, run] of Object.entries(others)) {
    if (!isChosen(id)) continue;
    tell(id);
    figures.push(...(await run(place)));
  }
  const text = [
    `${machine()}\n`,
    reports.length > 0 ? `${armTable(reports)}\n\n${reading(reports)}\n` : '',
    figures.length > 0 ? `${figureTable(figures)}\n` : '',
  ].filter(Boolean);
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ machine: machine(), arms: reports, figures }, null, 1)}\n`
      : text.join('\n'),
  );
} finally {
  place.remove();
}
