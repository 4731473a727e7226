import { setImmediate } from 'node:timers/promises';
import type { Steps } from '../policy/steps.js';

/** How long a thread that answers requests works on something else before it looks at them again. */
const sliceMs = 2;

/** Does all steps, and lets what waits be done at least every two milliseconds or a step. */
export async function inSlices<T>(steps: Steps<T>): Promise<T> {
  let until = performance.now() + sliceMs;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() < until) continue;
    await setImmediate();
    until = performance.now() + sliceMs;
  }
}
