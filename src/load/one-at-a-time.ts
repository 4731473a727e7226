/** Work that runs one at a time: who asks for it during a run has one more behind that, shared by all who ask. */
export class OneAtATime<T> {
  readonly #work: () => Promise<T>;
  #running: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(work: () => Promise<T>) {
    this.#work = work;
  }

  /** Resolves when a run ended that began after this call. */
  run(): Promise<T> {
    if (this.#running === undefined) {
      this.#running = this.#work().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    const again = () => {
      this.#next = undefined;
      return this.run();
    };
    this.#next ??= this.#running.then(again, again);
    return this.#next;
  }

  /** Resolves when nothing runs any more of what was asked for before. */
  async ended(): Promise<void> {
    await (this.#next ?? this.#running)?.catch(() => undefined);
  }
}
