import { matchSpiffePattern, parseSpiffeId, parseSpiffePattern } from '../identity/spiffe-id.js';
import { compileAddressRanges, parseCidr } from './address-ranges.js';
import {
  type CelFunc,
  type CelList,
  CelScalar,
  celFunc,
  celList,
  celMap,
  celMethod,
} from './cel.js';
import type { TimeWindow } from './time-window.js';

const { STRING, BOOL, DYN } = CelScalar;

/** Why the literal argument of a function of ours is wrong, checked at load. */
export const literalChecks: Readonly<Record<string, (text: string) => string | undefined>> = {
  inCidr: (text) => sentence(parseCidr(text)),
  isSpiffe: (text) => sentence(parseSpiffePattern(text)),
  spiffe: (text) => sentence(parseSpiffeId(text)),
};

function sentence(parsed: unknown): string | undefined {
  return typeof parsed === 'string' ? parsed : undefined;
}

/**
 * The functions that conditions have beside CEL's own; none reads the clock or the network.
 * `source.ip.inCidr("10.0.0.0/8")`, `peer.spiffeId.isSpiffe("spiffe://td/ns/*")`,
 * `spiffe(destination.spiffeId)` {trustDomain, segments}, `inWindow("change", request.time)`.
 */
export function conditionFunctions(windows: ReadonlyMap<string, TimeWindow>): CelFunc[] {
  const inCidr = memoize((text) => {
    const cidr = parseCidr(text);
    return typeof cidr === 'string' ? undefined : compileAddressRanges([cidr]);
  });
  const pattern = memoize((text) => {
    const parsed = parseSpiffePattern(text);
    return typeof parsed === 'string' ? undefined : parsed;
  });
  return [
    celMethod('inCidr', STRING, [STRING], BOOL, function (text) {
      const ranges = inCidr(text);
      if (ranges === undefined) throw new Error('inCidr needs a CIDR');
      return ranges.contains(this);
    }),
    celMethod('isSpiffe', STRING, [STRING], BOOL, function (text) {
      const wanted = pattern(text);
      const id = parseSpiffeId(this);
      if (wanted === undefined) throw new Error('isSpiffe needs a SPIFFE pattern');
      return typeof id !== 'string' && matchSpiffePattern(wanted, id);
    }),
    celFunc('spiffe', [STRING], DYN, (text) => {
      const id = parseSpiffeId(text);
      if (typeof id === 'string') throw new Error('spiffe needs a SPIFFE id');
      return celMap(
        new Map<string, string | CelList>([
          ['trustDomain', id.trustDomain],
          ['segments', celList(id.segments)],
        ]),
      );
    }),
    celFunc('inWindow', [STRING, DYN], BOOL, (name, time) => {
      const window = windows.get(name);
      const ms = epochMs(time);
      if (window === undefined || ms === undefined)
        throw new Error('inWindow needs a window and a time');
      return window.contains(ms);
    }),
  ];
}

function memoize<T>(make: (text: string) => T): (text: string) => T {
  const made = new Map<string, T>();
  return (text) => {
    const known = made.get(text);
    if (known !== undefined) return known;
    const value = make(text);
    if (made.size < 1000) made.set(text, value);
    return value;
  };
}

/** Milliseconds of a google.protobuf.Timestamp as the CEL library hands it over. */
function epochMs(time: unknown): number | undefined {
  const message = (time as { message?: unknown } | null)?.message ?? time;
  const { seconds, nanos } = (message ?? {}) as { seconds?: unknown; nanos?: unknown };
  if (typeof seconds !== 'bigint' || typeof nanos !== 'number') return undefined;
  return Number(seconds) * 1000 + Math.floor(nanos / 1e6);
}
