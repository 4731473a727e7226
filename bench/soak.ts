import { randomUUID } from 'node:crypto';
import { renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../examples/quickstart/client.js';
import { checkRequestOf } from '../examples/quickstart/direct.js';
import type { Workplace } from '../examples/quickstart/workplace.js';
import { encodeCheckRequest } from '../src/wire/external-auth.js';
import { type Flood, type Outcomes, openFlood, type Question } from './flood.js';
import { startMeasured } from './mixed-load.js';

/**
 * `npm run soak [MINUTES] [WORKERS] [PER_SECOND]`: half an hour of mixed load. Peers, new tokens all
 * the time, approvals that are used once, files that change, connections that come and go, scrapes.
 * Every answer is checked; what counts at the end is that memory and descriptors did not grow.
 */
const minutes = Number(process.argv[2] ?? 30);
const workers = Number(process.argv[3] ?? 1);
const perSecond = Number(process.argv[4] ?? 300);
const roundMs = 5_000;
/** Caches fill, and the heap finds its size, in this share of the time. */
const warmUp = 1 / 4;

const write = (text: string) => void process.stdout.write(`${text}\n`);

let made = 0;
function question(workplace: Workplace, call: Call, want: string): Question {
  made += 1;
  return { message: encodeCheckRequest(checkRequestOf(workplace, call, `s-${made}`)), want };
}

/** Questions of every kind, with tokens that nobody has seen before. */
async function freshQuestions(workplace: Workplace): Promise<readonly Question[]> {
  const { corp } = workplace;
  const bearer = async (claims: object) => ({
    authorization: `Bearer ${await corp.sign({ ...claims })}`,
  });
  const agent = { sub: 'agent-7', kind: 'agent', tenant: 'acme', customers: ['c-17'] };
  const get = (path: string, headers: Record<string, string>): Call => ({
    method: 'GET',
    path,
    headers,
  });
  const forged = (await corp.sign(agent)).slice(0, -12).concat('AAAAAAAAAAAA');
  const asked: readonly (readonly [Call, string])[] = [
    [{ method: 'GET', path: `/finance/${randomUUID()}`, as: 'agent' }, 'permit finance-use'],
    [{ method: 'POST', path: '/finance/x', as: 'agent' }, 'deny denied_by_rule'],
    [{ method: 'GET', path: '/payments/p-1', as: 'reports' }, 'permit payments-read'],
    [{ method: 'POST', path: '/payments/p-1', as: 'payments' }, 'deny approval_missing'],
    [{ method: 'GET', path: '/finance/a;b', as: 'agent' }, 'deny path_ambiguous'],
    [get('/tenants/acme/customers/c-17', await bearer(agent)), 'permit customer-context'],
    [get('/tenants/evil/customers/c-17', await bearer(agent)), 'deny condition_false'],
    [get('/deployments/web-7/logs', await bearer({ sub: 'ci-robot' })), 'permit logs-read'],
    [
      get('/deployments/web-7/logs', await bearer({ sub: 'ci-robot', exp: 1 })),
      'deny token_expired',
    ],
    [
      get('/tenants/acme/customers/c-17', { authorization: `Bearer ${forged}` }),
      'deny token_signature_invalid',
    ],
    [get('/nowhere', await bearer(agent)), 'deny no_rule'],
  ];
  return asked.map(([call, want]) => question(workplace, call, want));
}

/** An approval: permits one request, and no second one. */
async function spendApproval(workplace: Workplace, flood: Flood): Promise<readonly Outcomes[]> {
  const path = `/payments/p-${made}`;
  const approval = await workplace.approvals.sign(
    {
      sub: 'spiffe://prod.example/ns/payments/sa/bot',
      approver: 'maria@prod.example',
      grant: { methods: ['POST'], paths: [path] },
    },
    { typ: 'nhi-approval+jwt' },
  );
  const call: Call = {
    method: 'POST',
    path,
    as: 'payments',
    headers: { 'x-countersign-approval': approval },
  };
  const first = await flood.once(question(workplace, call, 'permit payments-write'));
  // What was not permitted has spent nothing.
  if (first.counts['right'] !== 1) return [first];
  return [first, await flood.once(question(workplace, call, 'deny approval_used'))];
}

/** Puts another revocations file and another policy into place, neither of which changes an answer. */
function changeFiles(workplace: Workplace): void {
  const put = (name: string, text: string) => {
    workplace.write('next', text);
    renameSync(workplace.path('next'), workplace.path(name));
  };
  put('data/revocations.yaml', `version: 1\nidentities: ["corp:nobody-${made}"]\n`);
  put(
    'policies/soak.yaml',
    `version: 1\npolicy: soak\nrules: [{ id: soak-${made}, effect: deny, paths: ["/soak/${made}"] }]\n`,
  );
}

/** Slope of the least-squares line through (x, y). */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (at: 0 | 1) => points.reduce((sum, point) => sum + point[at], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const both = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return both / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

const measured = await startMeasured(`workers: ${workers}\ndecisionLog: { recent: 1000 }`);
const { workplace } = measured;
const target = { port: workplace.ports.countersign };
const counts = new Map<string, number>();
const wrong: string[] = [];
const take = (outcomes: Outcomes) => {
  for (const [what, count] of Object.entries(outcomes.counts)) {
    counts.set(what, (counts.get(what) ?? 0) + count);
  }
  wrong.push(...outcomes.wrong);
};
const memory: [hours: number, miB: number][] = [];
const descriptors: number[] = [];
const beganAt = performance.now();
const passedMs = () => performance.now() - beganAt;
try {
  while (passedMs() < minutes * 60_000) {
    // Connections are made anew in every round, and half of the calls go to ones that were kept.
    const flood = await openFlood(target, await freshQuestions(workplace));
    const spending = async () => {
      for (let time = 0; time < 10; time += 1) {
        for (const outcomes of await spendApproval(workplace, flood)) take(outcomes);
      }
    };
    const scraping = fetch(`http://127.0.0.1:${workplace.ports.admin}/metrics`).then((one) =>
      one.text(),
    );
    const [offered] = await Promise.all([flood.offer(perSecond, roundMs), spending(), scraping]);
    take(offered);
    flood.close();
    await sleep(50);
    changeFiles(workplace);
    memory.push([passedMs() / 3_600_000, measured.residentMiB()]);
    descriptors.push(measured.descriptors());
  }
} finally {
  await measured.stop();
}

const after = <T>(values: readonly T[]) => values.slice(Math.floor(values.length * warmUp));
const resident = after(memory).map(([, miB]) => miB);
const perHour = slope(after(memory));
const rise = perHour * (after(memory).at(-1)?.[0] ?? 0) * (1 - warmUp);
const mean = resident.reduce((sum, one) => sum + one, 0) / resident.length;
const open = after(descriptors);
write(`${minutes} minutes, ${workers} worker(s), ${perSecond} Checks/s offered:`);
for (const [what, count] of counts) write(`  ${what.padEnd(28)} ${count}`);
write(
  `  resident memory               ${Math.round(Math.min(...resident))} to ${Math.round(Math.max(...resident))} MiB, mean ${Math.round(mean)}`,
);
write(
  `  its slope (least squares)     ${perHour.toFixed(1)} MiB an hour, ${rise.toFixed(1)} MiB in the time measured`,
);
write(
  `  descriptors                   ${Math.min(...open)} to ${Math.max(...open)}, at the end ${open.at(-1)}`,
);
const faults = [
  ...(wrong.length > 0 ? [`${wrong.length} wrong answers, the first: ${wrong[0]}`] : []),
  ...(rise > mean / 10 ? ['memory grows'] : []),
  ...((open.at(-1) ?? 0) > (open[0] ?? 0) + 4 ? ['descriptors grow'] : []),
];
for (const fault of faults) write(`  FAULT: ${fault}`);
process.exitCode = faults.length === 0 ? 0 : 1;
