import type { Registry } from 'prom-client';
import { Histogram } from './prometheus.js';

type Scraped = Awaited<ReturnType<InstanceType<typeof Histogram>['get']>>;

/** Upper bounds in microseconds: most decisions take tens of them, the default budget is 100 ms. */
const boundsUs = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000];

/**
 * A histogram without labels that costs a decision one element of an array, where prom-client's own
 * `observe` looks its labels up each time. Only a scrape turns it into what prom-client shows.
 */
export class DurationHistogram extends Histogram {
  readonly #registry: Registry;
  readonly #name: string;
  readonly #counts = new Float64Array(boundsUs.length + 1);
  #sumUs = 0;

  constructor(name: string, help: string, registry: Registry) {
    super({ name, help, buckets: boundsUs.map((bound) => bound / 1e6), registers: [registry] });
    this.#registry = registry;
    this.#name = name;
  }

  /** Counts one duration. */
  add(durationUs: number): void {
    let at = 0;
    while (at < boundsUs.length && durationUs > (boundsUs[at] ?? 0)) at += 1;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sumUs += durationUs;
  }

  /** Prom-client asks this for the text format, and `get` for all others. */
  async getForPromString(): Promise<Scraped> {
    const name = this.#name;
    const described = this.#registry.getMetricsAsArray().find((metric) => metric.name === name);
    if (described === undefined) return super.get();
    const { help, type, aggregator, collect } = described;
    return { name, help, type, aggregator, collect, values: this.#values() };
  }

  override get(): Promise<Scraped> {
    return this.getForPromString();
  }

  #values(): Scraped['values'] {
    const values: Scraped['values'] = [];
    let count = 0;
    for (const [at, inBucket] of this.#counts.entries()) {
      count += inBucket;
      const bound = boundsUs[at];
      const le = bound === undefined ? '+Inf' : bound / 1e6;
      values.push({ metricName: `${this.#name}_bucket`, labels: { le }, value: count });
    }
    values.push({ metricName: `${this.#name}_sum`, labels: {}, value: this.#sumUs / 1e6 });
    values.push({ metricName: `${this.#name}_count`, labels: {}, value: count });
    return values;
  }
}
