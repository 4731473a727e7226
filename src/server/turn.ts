/** A turn that begins so soon after another one found its calls waiting. */
const atOnceMs = 2;

/**
 * How long the calls of one turn of the event loop may have waited for it. What is read in a turn lay
 * ready when the turn began: its last call has waited for all the others. Where turn follows turn
 * without rest, it has waited for the turn before as well. The first call after a rest has not waited.
 * @param nowMs milliseconds of a clock that never steps back
 */
export function createTurnClock(nowMs: () => number): () => number {
  let beganMs: number | undefined;
  let endedMs = Number.NEGATIVE_INFINITY;
  let beforeMs = 0;
  let tookMs = 0;
  const end = () => {
    endedMs = nowMs();
    tookMs = endedMs - (beganMs ?? endedMs);
    beganMs = undefined;
  };
  return () => {
    const now = nowMs();
    if (beganMs === undefined) {
      beganMs = now;
      beforeMs = now - endedMs <= atOnceMs ? tookMs : 0;
      setImmediate(end);
    }
    return beforeMs + now - beganMs;
  };
}
