/**
 * How long the calls of one turn of the event loop have waited for it: all that is read in a turn lay
 * ready when the turn began, and its last call has waited for all the others. The first call of a
 * turn has waited for none.
 * @param nowMs milliseconds of a clock that never steps back
 */
export function createTurnClock(nowMs: () => number): () => number {
  let beganMs: number | undefined;
  const end = () => {
    beganMs = undefined;
  };
  return () => {
    if (beganMs !== undefined) return nowMs() - beganMs;
    beganMs = nowMs();
    setImmediate(end);
    return 0;
  };
}
