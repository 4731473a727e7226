import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Both halves of V8's young generation, in bytes: four MiB each. */
const enough = 8 * 1024 * 1024;
const lookEveryMs = 1_000;
const growingMs = 10;

/**
 * Lets V8's young generation grow to 8 MiB and no further; by itself it takes 32 MiB. What is left of it
 * is copied while nothing is answered, so its size is also the longest such pause of a reload. A flag of
 * the command line would say the same, but not to those who start the program without it.
 */
export function boundYoungHeap(): void {
  const growth = (factor: number) => setFlagsFromString(`--semi-space-growth-factor=${factor}`);
  growth(1);
  // An idle V8 makes it smaller. It may grow again, in moments so short that it doubles once or twice.
  setInterval(() => {
    const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
    if (young === undefined || young.space_size >= enough) return;
    growth(2);
    setTimeout(growth, growingMs, 1).unref();
  }, lookEveryMs).unref();
}
