/** Questions that went to another process, each waiting for its answer. */
export interface Pending<T> {
  /** Sends a question under an id of its own; `otherwise` when no answer came in time. */
  ask(send: (id: number) => void, timeoutMs: number): Promise<T>;
  answer(id: number, value: T): void;
  /** Nobody is there to answer any more: every question gets `otherwise`. */
  giveUp(): void;
}

export function pendingAnswers<T>(otherwise: T): Pending<T> {
  const waiting = new Map<number, (value: T) => void>();
  let next = 0;
  return {
    ask: (send, timeoutMs) =>
      new Promise((resolve) => {
        const id = next;
        next += 1;
        const settle = (value: T) => {
          clearTimeout(timer);
          waiting.delete(id);
          resolve(value);
        };
        const timer = setTimeout(settle, timeoutMs, otherwise);
        waiting.set(id, settle);
        send(id);
      }),
    answer: (id, value) => waiting.get(id)?.(value),
    giveUp: () => {
      for (const settle of [...waiting.values()]) settle(otherwise);
    },
  };
}
