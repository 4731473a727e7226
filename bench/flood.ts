import { checkPath } from '../src/server/listener.js';
import { decodeCheckResponse } from '../src/wire/received-response.js';
import { connectRawClient, type RawClient, type Target } from './raw-client.js';

/** One question and the answer that is right for it, whatever the load. */
export interface Question {
  readonly message: Uint8Array;
  /** `permit RULE` or `deny CODE`. */
  readonly want: string;
}

/** What became of calls: by `right`, the explicit 503s by code, and what Envoy itself would answer. */
export interface Outcomes {
  readonly counts: Readonly<Record<string, number>>;
  /** Milliseconds to each explicit answer, in no order. */
  readonly answerMs: readonly number[];
  /** Permits and denies that nobody should have had; `undefined want` says what was wanted. */
  readonly wrong: readonly string[];
}

/** As Envoy has it by `envoy/quickstart.yaml`: one timeout for a call, and a circuit breaker. */
const timeoutMs = 1_000;
const timeout = '1S';
const maxRequests = 4_096;
const tickMs = 2;
const explicit503 = /^deny (overloaded|deadline_exceeded|store_unavailable)$/;

export interface Flood {
  /** Offers so many calls a second, answered or not, for a while. */
  offer(perSecond: number, forMs: number): Promise<Outcomes>;
  /** Asks one more question, once. */
  once(question: Question): Promise<Outcomes>;
  /** Keeps `concurrency` calls under way for a while; gives answers a second as well. */
  loop(concurrency: number, forMs: number): Promise<Outcomes & { readonly perSecond: number }>;
  close(): void;
}

/**
 * A caller with Envoy's patience on a few connections.
 * @param questions asked in turn, again and again; the list may change meanwhile
 */
export async function openFlood(
  target: Target,
  questions: readonly Question[],
  connections = 4,
): Promise<Flood> {
  const clients: (RawClient | undefined)[] = [];
  let isClosed = false;
  /** A connection that ends is made anew, as Envoy does. */
  const connect = async (at: number) => {
    clients[at] = undefined;
    const client = await connectRawClient(target, checkPath, timeout);
    client.onEnd(() => {
      if (!isClosed) connect(at).catch(() => setTimeout(() => connect(at).catch(() => {}), 100));
    });
    clients[at] = client;
  };
  for (let at = 0; at < connections; at += 1) await connect(at);
  let asked = 0;
  let open = 0;

  /** Asks a question, or the next one in turn; the promise never rejects. */
  const ask = (tally: Tally, given?: Question) =>
    new Promise<void>((resolve) => {
      const question = given ?? questions[asked % questions.length];
      const client = clients[asked % clients.length];
      asked += 1;
      if (open >= maxRequests || question === undefined || client === undefined) {
        tally.count(
          client === undefined ? '503 without a connection' : '503 of the circuit breaker',
        );
        resolve();
        return;
      }
      open += 1;
      const sentAt = performance.now();
      const settle = (what: string) => {
        open -= 1;
        tally.count(what);
        resolve();
      };
      const timer = setTimeout(() => {
        client.cancel(stream);
        settle('503 after the timeout');
      }, timeoutMs);
      const stream = client.call(question.message, (answer) => {
        clearTimeout(timer);
        settle(tally.judge(answer, question.want, performance.now() - sentAt));
      });
    });

  return {
    async once(question) {
      const tally = new Tally();
      await ask(tally, question);
      return tally.outcomes();
    },
    async offer(perSecond, forMs) {
      const tally = new Tally();
      const under: Promise<void>[] = [];
      const beganAt = performance.now();
      let offered = 0;
      while (performance.now() - beganAt < forMs) {
        const due = Math.floor(((performance.now() - beganAt) / 1000) * perSecond);
        // What this process itself could not send in time is not sent all at once.
        for (const end = Math.min(due, offered + perSecond / 50); offered < end; offered += 1) {
          under.push(ask(tally));
        }
        offered = Math.max(offered, due);
        await new Promise((resolve) => setTimeout(resolve, tickMs));
      }
      await Promise.all(under);
      return tally.outcomes();
    },
    async loop(concurrency, forMs) {
      const tally = new Tally();
      const beganAt = performance.now();
      const one = async () => {
        while (performance.now() - beganAt < forMs) await ask(tally);
      };
      await Promise.all(Array.from({ length: concurrency }, one));
      const outcomes = tally.outcomes();
      const seconds = (performance.now() - beganAt) / 1000;
      return { ...outcomes, perSecond: outcomes.answerMs.length / seconds };
    },
    close() {
      isClosed = true;
      for (const client of clients) client?.close();
    },
  };
}

class Tally {
  readonly #counts: Record<string, number> = {};
  readonly #answerMs: number[] = [];
  readonly #wrong: string[] = [];

  count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  /** What to count an answer as. */
  judge(answer: Buffer | undefined, want: string, tookMs: number): string {
    if (answer === undefined) return '503 after a reset';
    this.#answerMs.push(tookMs);
    const said = outcomeOf(answer);
    if (said === want) return 'right';
    if (explicit503.test(said)) return said;
    this.#wrong.push(`${said}, not ${want}`);
    return 'wrong';
  }

  outcomes(): Outcomes {
    return { counts: this.#counts, answerMs: this.#answerMs, wrong: this.#wrong };
  }
}

/** `permit RULE` or `deny CODE`, from the answer alone; an empty answer would be an allow. */
export function outcomeOf(answer: Uint8Array): string {
  const decoded = decodeCheckResponse(answer);
  if (!decoded.ok) return `unreadable: ${decoded.reason}`;
  const { status, ok, denied } = decoded.value;
  const rule = ok?.headers.find(({ key }) => key === 'x-countersign-rule')?.value;
  if (status === 0) return ok === undefined ? 'permit by nothing' : `permit ${rule}`;
  return `deny ${/"code":"([a-z_]+)"/.exec(denied?.body ?? '')?.[1]}`;
}

/** The value below which a share of the values is. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
