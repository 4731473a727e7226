import { setTimeout as sleep } from 'node:timers/promises';
import type { CheckRecord } from '../check.js';
import { encodeSpans, type Span, spanOf } from './span.js';
import { parseTraceparent } from './trace-context.js';

export interface TracingOptions {
  /** Base URL of a collector that takes OTLP by HTTP. */
  readonly otlp: string;
  /** Share of the Checks without a trace of their own that begin one, 0–1. */
  readonly ratio: number;
}

export interface TracerDependencies {
  readonly version: string;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** Lower-case hex of so many random bytes. */
  readonly randomHex: (bytes: number) => string;
  readonly onSent: (spans: number) => void;
  readonly onDropped: (spans: number) => void;
}

export interface Tracer {
  /** Takes one decision; never waits, never throws. */
  record(record: CheckRecord): void;
  /** Sends what waits, within `withinMs`; what is left then is dropped. */
  close(withinMs: number): Promise<void>;
}

const maxWaiting = 4096;
const maxBatch = 512;
const everyMs = 1_000;
const lastRetryMs = 30_000;
const timeoutMs = 5_000;

/** Rejected spans are lost; `again`: none was taken, and another attempt may help. */
type Sent = { readonly rejected: number } | 'again';

/**
 * Sends decisions as spans to a collector. A Check whose request carries a `traceparent` joins that
 * trace exactly when it is sampled; any other begins one by chance, as often as `ratio` says. Spans
 * wait in a bounded queue and go out one batch at a time: a collector that is away or slow costs
 * spans and nothing else.
 */
export function createTracer(options: TracingOptions, deps: TracerDependencies): Tracer {
  const exporter = new SpanExporter(tracesUrl(options.otlp), deps);
  return {
    record(record) {
      const headers =
        record.seen.request?.kind === 'http' ? record.seen.request.headers : undefined;
      const parent = parseTraceparent(headers?.get('traceparent'));
      const isSampled = parent?.isSampled ?? deps.random() < options.ratio;
      if (isSampled) exporter.add(spanOf(record, parent, deps.randomHex));
    },
    close: (withinMs) => exporter.close(withinMs),
  };
}

class SpanExporter {
  readonly #url: string;
  readonly #deps: TracerDependencies;
  readonly #hurry = new AbortController();
  #waiting: Span[] = [];
  #working: Promise<void> | undefined;
  #isGivenUp = false;

  constructor(url: string, deps: TracerDependencies) {
    this.#url = url;
    this.#deps = deps;
  }

  add(span: Span): void {
    if (this.#isGivenUp || this.#waiting.length >= maxWaiting) {
      this.#deps.onDropped(1);
      return;
    }
    this.#waiting.push(span);
    this.#working ??= this.#work();
  }

  async close(withinMs: number): Promise<void> {
    this.#hurry.abort();
    await Promise.race([this.#working, sleep(withinMs, undefined, { ref: false })]);
    this.#giveUp();
  }

  async #work(): Promise<void> {
    let retryMs = everyMs;
    while (this.#waiting.length > 0) {
      if (this.#waiting.length < maxBatch) await this.#pause(everyMs);
      const batch = this.#waiting.slice(0, maxBatch);
      const sent = await send(this.#url, encodeSpans(batch, this.#deps.version));
      if (this.#isGivenUp) return;
      if (sent === 'again') {
        if (this.#hurry.signal.aborted) this.#giveUp();
        await this.#pause(retryMs);
        retryMs = Math.min(2 * retryMs, lastRetryMs);
        continue;
      }
      retryMs = everyMs;
      this.#waiting.splice(0, batch.length);
      const rejected = Math.min(sent.rejected, batch.length);
      this.#deps.onSent(batch.length - rejected);
      this.#deps.onDropped(rejected);
    }
    this.#working = undefined;
  }

  /** Ends at once when the exporter is being closed. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#hurry.signal, ref: false }).catch(() => {});
  }

  #giveUp(): void {
    this.#isGivenUp = true;
    if (this.#waiting.length > 0) this.#deps.onDropped(this.#waiting.length);
    this.#waiting = [];
  }
}

/** OTLP exporter specification: the signal's path follows a base URL. */
function tracesUrl(base: string): string {
  return base.endsWith('/v1/traces') ? base : `${base.replace(/\/$/, '')}/v1/traces`;
}

/** OTLP/HTTP: these answers, and none at all, are worth another attempt. */
const transient: ReadonlySet<number> = new Set([429, 502, 503, 504]);

async function send(url: string, body: string): Promise<Sent> {
  try {
    const headers = { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error' });
    const text = await response.text();
    if (transient.has(response.status)) return 'again';
    return { rejected: response.ok ? rejectedSpans(text) : Number.POSITIVE_INFINITY };
  } catch {
    return 'again';
  }
}

/** `partialSuccess.rejectedSpans` of the answer: a 64-bit number, as text in JSON. */
function rejectedSpans(answer: string): number {
  const [, count = '0'] = /"rejectedSpans"\s*:\s*"?(\d{1,6})/.exec(answer) ?? [];
  return Number(count);
}
