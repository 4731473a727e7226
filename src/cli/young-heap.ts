import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/** Both halves of V8's young generation, in bytes: four MiB each. */
const enough = 8 * 1024 * 1024;
const lookEveryMs = 1_000;

/**
 * Lets V8's young generation grow to 8 MiB and no further; by itself it takes 32 MiB. What is left of it
 * is copied while nothing is answered, so its size is also the longest such pause of a reload. A flag of
 * the command line would say the same, but not to those who start the program without it.
 */
export function boundYoungHeap(): void {
  let factor: number | undefined;
  const look = () => {
    const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
    const wanted = (young?.space_size ?? 0) < enough ? 2 : 1;
    if (wanted !== factor) setFlagsFromString(`--semi-space-growth-factor=${wanted}`);
    factor = wanted;
  };
  look();
  setInterval(look, lookEveryMs).unref();
}
