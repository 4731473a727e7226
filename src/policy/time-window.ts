import type { WindowEntry } from './policy-schema.js';

/** A named window of wall-clock time in one zone. */
export interface TimeWindow {
  readonly name: string;
  contains(epochMs: number): boolean;
}

const dayNames: readonly string[] = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const minuteMs = 60_000;

/**
 * Compiles a window: `from` inclusive, `to` exclusive, by the zone's wall clock. `from` after `to`
 * runs past midnight and belongs to the day it began. An hour that daylight saving skips is never
 * seen by the wall clock; one that it repeats is seen twice. Undefined for an unknown zone.
 */
export function compileTimeWindow(name: string, entry: WindowEntry): TimeWindow | undefined {
  const wallClock = compileWallClock(entry.timezone);
  if (wallClock === undefined) return undefined;
  const from = minuteOfDay(entry.from);
  const to = minuteOfDay(entry.to);
  const days = entry.days.map((day) => dayNames.indexOf(day));
  const isOpen = (day: number, minute: number): boolean => {
    if (from < to) return days.includes(day) && minute >= from && minute < to;
    if (minute >= from) return days.includes(day);
    return minute < to && days.includes((day + 6) % 7);
  };
  // A zone's wall clock changes at whole minutes, so one answer holds for the minute.
  let lastMinute = Number.NaN;
  let lastAnswer = false;
  return {
    name,
    contains: (epochMs) => {
      const minute = Math.floor(epochMs / minuteMs);
      if (minute !== lastMinute) {
        const { day, minuteOfDay: now } = wallClock(epochMs);
        lastAnswer = isOpen(day, now);
        lastMinute = minute;
      }
      return lastAnswer;
    },
  };
}

function minuteOfDay(text: string): number {
  const [hours = '', minutes = ''] = text.split(':');
  return Number(hours) * 60 + Number(minutes);
}

type WallClock = (epochMs: number) => { day: number; minuteOfDay: number };

function compileWallClock(timeZone: string): WallClock | undefined {
  // Some runtimes take an offset for a zone; it would be another policy on another machine.
  if (/^[+-]/.test(timeZone)) return undefined;
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    return (epochMs) => {
      const parts = new Map(format.formatToParts(epochMs).map(({ type, value }) => [type, value]));
      const weekday = (parts.get('weekday') ?? '').toLowerCase();
      return {
        day: dayNames.indexOf(weekday),
        minuteOfDay: Number(parts.get('hour')) * 60 + Number(parts.get('minute')),
      };
    };
  } catch {
    return undefined;
  }
}
