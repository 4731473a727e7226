import type { Registry } from 'prom-client';
import type { CheckRecord } from '../check.js';
import type { Decision } from '../decision/decision.js';
import { type Code, denyCodesByStatus } from '../errors.js';
import { Counter } from './prometheus.js';

/** Rules beyond this many share the label `other`: a label's values are memory in every scraper. */
const maxRuleLabels = 1000;

interface Tally {
  readonly labels: Readonly<Record<string, string>>;
  count: number;
}

/**
 * Counts decisions by effect, code and rule, and what rules in shadow mode would have turned. One
 * decision costs two look-ups of texts that are always the same ones; only a scrape makes label sets.
 * A code has one effect, so code and rule are the key.
 */
export class DecisionCounters {
  readonly #decisions = new Map<string, Map<string, Tally>>();
  readonly #shadows = new Map<string, Map<string, Tally>>();

  constructor(registry: Registry) {
    expose(
      registry,
      'countersign_decisions_total',
      'Decisions by effect, code and determining rule',
      ['effect', 'code', 'rule'],
      this.#decisions,
    );
    exposeByCode(registry, this.#decisions);
    expose(
      registry,
      'countersign_shadow_flips_total',
      'Decisions that a rule in shadow mode would have turned, by what it would have made of them',
      ['rule', 'effect'],
      this.#shadows,
    );
  }

  count({ decision }: CheckRecord): void {
    const { effect, code, rule, shadow } = decision;
    const known = this.#decisions.get(rule?.id ?? '')?.get(code);
    if (known === undefined) this.#first(effect, code, rule?.id ?? '');
    else known.count += 1;
    // A shadow permit turns no deny that a rule made; every shadow deny has a permit to turn.
    if (shadow.length > 0 && code !== 'denied_by_rule') this.#countShadows(effect, shadow);
  }

  #first(effect: string, code: string, rule: string): void {
    tally(this.#decisions, rule, code, (label) => ({ effect, code, rule: label })).count += 1;
  }

  #countShadows(decided: string, shadows: Decision['shadow']): void {
    for (const { rule, effect } of shadows) {
      if (effect === decided) continue;
      tally(this.#shadows, rule, effect, (label) => ({ rule: label, effect })).count += 1;
    }
  }
}

/** The tally of a rule and a second key, made when it is new. */
function tally(
  tallies: Map<string, Map<string, Tally>>,
  rule: string,
  second: string,
  labels: (rule: string) => Tally['labels'],
): Tally {
  const label = tallies.has(rule) || tallies.size < maxRuleLabels ? rule : 'other';
  const ofRule = tallies.get(label) ?? new Map<string, Tally>();
  tallies.set(label, ofRule);
  const found = ofRule.get(second) ?? { labels: labels(label), count: 0 };
  ofRule.set(second, found);
  return found;
}

function expose(
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly string[],
  tallies: ReadonlyMap<string, ReadonlyMap<string, Tally>>,
): void {
  new Counter({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    collect() {
      this.reset();
      for (const ofRule of tallies.values()) {
        for (const { labels, count } of ofRule.values()) this.inc(labels, count);
      }
    },
  });
}

const codes: readonly Code[] = ['permitted', ...Object.values(denyCodesByStatus).flat()];

/** The same decisions by code alone. A counter that appears with its first event shows no increase then. */
function exposeByCode(
  registry: Registry,
  decisions: ReadonlyMap<string, ReadonlyMap<string, Tally>>,
): void {
  new Counter({
    name: 'countersign_answers_total',
    help: 'Decisions by code alone, every code from the start',
    labelNames: ['code'],
    registers: [registry],
    collect() {
      this.reset();
      for (const code of codes) this.inc({ code }, 0);
      for (const ofRule of decisions.values()) {
        for (const [code, { count }] of ofRule) this.inc({ code }, count);
      }
    },
  });
}
