/**
 * Work that can be put down after each step and taken up again: a thread that answers requests does a
 * few steps at a time, any other all of them at once.
 */
export type Steps<T> = Generator<void, T, void>;

/** All steps at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
