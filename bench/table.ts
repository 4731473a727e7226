import { cpus } from 'node:os';
import type { ArmReport } from './arm-report.js';
import { type Summary, summarize } from './statistics.js';

/** A figure that is no round of an arm: a latency, a size, a time. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly spread?: readonly [number, number];
  readonly goal?: { readonly text: string; readonly isMet: boolean };
  readonly note?: string;
}

/** A markdown table, so that a run can be put into the docs as it is. */
export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

const spread = ({ least, most }: Summary, digits: number) =>
  `${least.toFixed(digits)}–${most.toFixed(digits)}`;
const met = (goal: { text: string; isMet: boolean } | undefined) =>
  goal === undefined ? '' : `${goal.text}: ${goal.isMet ? 'met' : 'NOT MET'}`;

/** What it ran on, for the record. */
export function machine(): string {
  const [cpu] = cpus();
  return `Node ${process.version}, ${cpu?.model ?? 'unknown processor'}, ${cpus().length} cores, ${new Date().toISOString().slice(0, 16)}Z`;
}

/** How to read the table, and whether the generator was fast enough for it. */
export function reading(reports: readonly ArmReport[]): string {
  const own = Math.max(...reports.map(({ generatorUs }) => generatorUs.median));
  const answers = reports.reduce((sum, report) => sum + report.answers, 0);
  const permits = reports.reduce((sum, report) => sum + report.permits, 0);
  return [
    `Every one of ${answers.toLocaleString('en')} answers was the right one (${permits.toLocaleString('en')} permits, the rest denies).`,
    "× floor is answers per core: the floor's CPU time per answer over the arm's, each from the same",
    'round with the same requests. It does not depend on whether the server or the generator was the',
    `slower one; answers/s does. The generator itself used up to ${own.toFixed(0)} µs of its own core for an answer.`,
  ].join('\n');
}

export function armTable(reports: readonly ArmReport[]): string {
  const floors = reports.flatMap(({ floorUs }) => [floorUs.least, floorUs.median, floorUs.most]);
  const floor = summarize(floors);
  const first = ['1', 'floor: bare grpc-js, constant bytes out', '', floor.median.toFixed(1)];
  const rows = reports.map((report) => [
    report.id,
    report.name,
    Math.round(report.perSecond.median).toLocaleString('en'),
    report.cpuUs.median.toFixed(1),
    spread(report.cpuUs, 1),
    report.throughputToFloor.median.toFixed(2),
    spread(report.throughputToFloor, 2),
    report.timeToBeside === undefined
      ? ''
      : `${report.timeToBeside.median.toFixed(2)} of ${report.timeToBeside.beside}`,
    met(report.goal),
  ]);
  return markdown(
    ['arm', 'what', 'answers/s', 'CPU µs/answer', 'spread', '× floor', 'spread', 'time', 'target'],
    [[...first, spread(floor, 1), '1.00', '', '', ''], ...rows],
  );
}

export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, spread: range, goal, note }) => [
    name,
    `${rounded(value)} ${unit}`,
    range === undefined ? '' : `${rounded(range[0])}–${rounded(range[1])}`,
    met(goal),
    note ?? '',
  ]);
  return markdown(['what', 'value', 'spread', 'target', 'how'], rows);
}

function rounded(value: number): string {
  return value >= 100 ? String(Math.round(value)) : value.toFixed(2);
}
