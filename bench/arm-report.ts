import type { Arm, Goal } from './arms.js';
import type { Measure, Round } from './rounds.js';
import { type Summary, summarize } from './statistics.js';

/** One row of the table, as `--json` gives it. */
export interface ArmReport {
  readonly id: string;
  readonly name: string;
  readonly answers: number;
  readonly permits: number;
  readonly denies: number;
  readonly perSecond: Summary;
  readonly cpuUs: Summary;
  readonly floorUs: Summary;
  readonly generatorUs: Summary;
  readonly busy: Summary;
  /** Answers per core, relative to the floor's in the same round. */
  readonly throughputToFloor: Summary;
  /** CPU time per answer, relative to the arm it is compared with, in the same round. */
  readonly timeToBeside: (Summary & { readonly beside: string }) | undefined;
  readonly goal: GoalReport | undefined;
}

export interface GoalReport {
  readonly text: string;
  readonly isMet: boolean;
}

export function reportArms(rounds: ReadonlyMap<Arm, readonly Round[]>): readonly ArmReport[] {
  const byId = new Map([...rounds].map(([arm, list]) => [arm.id, list]));
  return [...rounds].map(([arm, list]) => {
    const of = (pick: (measure: Measure) => number) =>
      summarize(list.map((round) => pick(round.arm)));
    const total = (pick: (measure: Measure) => number) =>
      list.reduce((sum, round) => sum + pick(round.arm), 0);
    const throughputToFloor = summarize(list.map(({ floor, arm: own }) => floor.cpuUs / own.cpuUs));
    const timeToBeside = compare(list, arm.beside, byId);
    return {
      id: arm.id,
      name: arm.name,
      answers: total(({ answers }) => answers),
      permits: total(({ permits }) => permits),
      denies: total(({ denies }) => denies),
      perSecond: of(({ perSecond }) => perSecond),
      cpuUs: of(({ cpuUs }) => cpuUs),
      floorUs: summarize(list.map(({ floor }) => floor.cpuUs)),
      generatorUs: of(({ generatorUs }) => generatorUs),
      busy: of(({ busy }) => busy),
      throughputToFloor,
      timeToBeside,
      goal: arm.goal && judge(arm.goal, throughputToFloor, timeToBeside),
    };
  });
}

function compare(
  own: readonly Round[],
  beside: string | undefined,
  byId: ReadonlyMap<string, readonly Round[]>,
): ArmReport['timeToBeside'] {
  if (beside === undefined) return undefined;
  const other = byId.get(beside) ?? [];
  const ratios = own.map(({ arm }, index) => arm.cpuUs / (other[index]?.arm.cpuUs ?? Number.NaN));
  return { ...summarize(ratios), beside };
}

function judge(goal: Goal, toFloor: Summary, toBeside: Summary | undefined): GoalReport {
  const value = (goal.against === 'floor' ? toFloor : toBeside)?.median ?? Number.NaN;
  if (goal.atLeast !== undefined) {
    return { text: `at least ${goal.atLeast.toFixed(2)}`, isMet: value >= goal.atLeast };
  }
  const atMost = goal.atMost ?? Number.NaN;
  return { text: `at most ${atMost.toFixed(2)}`, isMet: value <= atMost };
}
