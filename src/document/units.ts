import { z } from 'zod';

const milliseconds: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const bytes: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2 };

/** Milliseconds of `250ms 5s 15m 1h 7d`, or undefined. */
export function parseDuration(text: string): number | undefined {
  const [, count = '', unit = ''] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  return count === '' ? undefined : Number(count) * (milliseconds[unit] ?? Number.NaN);
}

/** Bytes of `512B 16KiB 1MiB`, or undefined. */
export function parseSize(text: string): number | undefined {
  const [, count = '', unit = ''] = /^(\d{1,9})(B|KiB|MiB)$/.exec(text) ?? [];
  return count === '' ? undefined : Number(count) * (bytes[unit] ?? Number.NaN);
}

/** A duration in a file; milliseconds in the program. */
export const durationMs = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, {
    message: 'a duration is a whole number and ms, s, m, h or d: 250ms, 15m, 7d',
  })
  .transform((text) => parseDuration(text) ?? 0);

/** A size in a file; bytes in the program. */
export const sizeBytes = z
  .string()
  .refine((text) => parseSize(text) !== undefined, {
    message: 'a size is a whole number and B, KiB or MiB: 16KiB, 1MiB',
  })
  .transform((text) => parseSize(text) ?? 0);
