import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Spent } from '../replay/replay-store.js';
import type { FromWorker, Question, Spending, ToWorker } from './messages.js';
import { pendingAnswers } from './pending.js';

/** What a worker needs of the primary, and tells it. */
export interface Employer {
  readonly nonceSecret: string;
  spend(spending: Spending): Spent | Promise<Spent>;
  /** A line that the worker wrote to its standard output, without its end. */
  line(text: string): void;
  serving(): void;
  /** It has ended, and everything it wrote was read. */
  ended(code: number | null, signal: NodeJS.Signals | null): void;
}

const answerMs = 1_000;
/** So many questions in a row without an answer: it hangs. */
const mostMisses = 3;

/** One worker process, as the primary sees it. */
export class Worker {
  readonly number: number;
  readonly #process: ChildProcess;
  readonly #answers = pendingAnswers<unknown>(undefined);
  readonly #employer: Employer;
  #connections = 0;
  #misses = 0;
  #isHere = false;
  #isServing = false;

  constructor(number: number, process: ChildProcess, employer: Employer) {
    this.number = number;
    this.#process = process;
    this.#employer = employer;
    process.on('message', (message) => this.#hear(message as FromWorker));
    // A message that cannot be sent any more is answered by the end of the process.
    process.on('error', () => {});
    if (process.stdout !== null) {
      createInterface({ input: process.stdout }).on('line', (text) => employer.line(text));
    }
    process.once('close', (code, signal) => {
      this.#isServing = false;
      this.#answers.giveUp();
      employer.ended(code, signal);
    });
  }

  get isHere(): boolean {
    return this.#isHere && this.#process.connected;
  }

  get isServing(): boolean {
    return this.#isServing && this.isHere;
  }

  /** Connections it has now. */
  get connections(): number {
    return this.#connections;
  }

  give(socket: Socket): void {
    this.#connections += 1;
    const message: ToWorker = { kind: 'connection' };
    this.#process.send(message, socket, { keepOpen: false }, (error) => {
      if (error !== null) socket.destroy();
    });
  }

  /** Its answer; undefined when it has none within a second. */
  ask(question: Question): Promise<unknown> {
    if (!this.isHere) return Promise.resolve(undefined);
    return this.#answers.ask((id) => this.tell({ kind: 'question', id, question }), answerMs);
  }

  /** Asks whether it still answers, and ends it when it did not for several times. */
  async pulse(): Promise<void> {
    if (!this.isHere) return;
    const answer = await this.ask({ about: 'ready' });
    this.#misses = answer === undefined ? this.#misses + 1 : 0;
    if (this.#misses >= mostMisses) this.kill();
  }

  tell(message: ToWorker): void {
    if (this.#process.connected) this.#process.send(message, () => {});
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #hear(message: FromWorker): void {
    switch (message.kind) {
      case 'here':
        this.#isHere = true;
        this.tell({
          kind: 'begin',
          number: this.number,
          nonceSecret: this.#employer.nonceSecret,
        });
        return;
      case 'serving':
        this.#isServing = message.isServing;
        this.#employer.serving();
        return;
      case 'closed':
        this.#connections -= 1;
        return;
      case 'answer':
        this.#answers.answer(message.id, message.answer);
        return;
      case 'spend':
        this.#spend(message.id, message.spending).catch(() => {});
        return;
      default:
        message satisfies never;
    }
  }

  async #spend(id: number, spending: Spending): Promise<void> {
    this.tell({ kind: 'spent', id, spent: await this.#employer.spend(spending) });
  }
}
