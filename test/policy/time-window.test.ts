import { expect } from 'chai';
import { describe, it } from 'mocha';
import { compileTimeWindow } from '../../src/policy/time-window.js';

const everyDay = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
type Days = (typeof everyDay)[number][];

const rows: readonly {
  name: string;
  zone: string;
  days?: Days;
  from: string;
  to: string;
  at: string;
  want: boolean;
}[] = [
  {
    name: 'from is inclusive',
    zone: 'UTC',
    from: '09:00',
    to: '16:00',
    at: '2026-11-24T09:00:00Z',
    want: true,
  },
  {
    name: 'to is exclusive',
    zone: 'UTC',
    from: '09:00',
    to: '16:00',
    at: '2026-11-24T16:00:00Z',
    want: false,
  },
  {
    name: 'the last moment',
    zone: 'UTC',
    from: '09:00',
    to: '16:00',
    at: '2026-11-24T15:59:59.999Z',
    want: true,
  },
  {
    name: 'the wall clock of the zone',
    zone: 'Europe/Stockholm',
    from: '09:00',
    to: '16:00',
    at: '2026-11-24T08:00:00Z',
    want: true,
  },
  {
    name: 'the wall clock in summer',
    zone: 'Europe/Stockholm',
    from: '09:00',
    to: '16:00',
    at: '2026-06-24T07:00:00Z',
    want: true,
  },
  {
    name: 'the day of the zone, not of UTC',
    zone: 'Asia/Tokyo',
    days: ['wed'],
    from: '00:00',
    to: '24:00',
    at: '2026-11-24T16:00:00Z',
    want: true,
  },
  {
    name: 'another day',
    zone: 'UTC',
    days: ['mon'],
    from: '00:00',
    to: '24:00',
    at: '2026-11-24T12:00:00Z',
    want: false,
  },
  {
    name: 'past midnight, before it',
    zone: 'UTC',
    days: ['tue'],
    from: '22:00',
    to: '02:00',
    at: '2026-11-24T23:00:00Z',
    want: true,
  },
  {
    name: 'past midnight, after it, belongs to the day it began',
    zone: 'UTC',
    days: ['tue'],
    from: '22:00',
    to: '02:00',
    at: '2026-11-25T01:59:00Z',
    want: true,
  },
  {
    name: 'past midnight, on the morning of its own day',
    zone: 'UTC',
    days: ['tue'],
    from: '22:00',
    to: '02:00',
    at: '2026-11-24T01:00:00Z',
    want: false,
  },
  {
    name: 'a skipped hour is seen by nobody: 01:59 is before it',
    zone: 'Europe/Stockholm',
    from: '02:00',
    to: '03:00',
    at: '2026-03-29T00:59:00Z',
    want: false,
  },
  {
    name: 'a skipped hour is seen by nobody: the next minute is 03:00',
    zone: 'Europe/Stockholm',
    from: '02:00',
    to: '03:00',
    at: '2026-03-29T01:00:00Z',
    want: false,
  },
  {
    name: 'a repeated hour is seen the first time',
    zone: 'Europe/Stockholm',
    from: '02:00',
    to: '03:00',
    at: '2026-10-25T00:30:00Z',
    want: true,
  },
  {
    name: 'a repeated hour is seen the second time',
    zone: 'Europe/Stockholm',
    from: '02:00',
    to: '03:00',
    at: '2026-10-25T01:30:00Z',
    want: true,
  },
  {
    name: 'after the repeated hour',
    zone: 'Europe/Stockholm',
    from: '02:00',
    to: '03:00',
    at: '2026-10-25T02:00:00Z',
    want: false,
  },
  {
    name: 'the skipped hour of New York',
    zone: 'America/New_York',
    from: '02:00',
    to: '03:00',
    at: '2026-03-08T07:30:00Z',
    want: false,
  },
  {
    name: 'a zone of half an hour',
    zone: 'Asia/Kolkata',
    from: '09:30',
    to: '10:00',
    at: '2026-11-24T04:00:00Z',
    want: true,
  },
  {
    name: 'a repeated hour of New York, the second time',
    zone: 'America/New_York',
    from: '01:00',
    to: '02:00',
    at: '2026-11-01T06:30:00Z',
    want: true,
  },
  {
    name: 'after the repeated hour of New York',
    zone: 'America/New_York',
    from: '01:00',
    to: '02:00',
    at: '2026-11-01T07:00:00Z',
    want: false,
  },
  {
    name: 'a change of half an hour: 02:00 to 02:29 is skipped',
    zone: 'Australia/Lord_Howe',
    from: '02:00',
    to: '02:30',
    at: '2026-10-03T15:30:00Z',
    want: false,
  },
  {
    name: 'a change of half an hour: 01:30 to 01:59 is seen again',
    zone: 'Australia/Lord_Howe',
    from: '01:30',
    to: '02:00',
    at: '2026-04-04T15:15:00Z',
    want: true,
  },
  {
    name: 'past midnight over the night of the change',
    zone: 'Europe/Stockholm',
    days: ['sat'],
    from: '22:00',
    to: '03:00',
    at: '2026-10-25T01:59:00Z',
    want: true,
  },
  {
    name: 'past midnight from sunday into monday',
    zone: 'UTC',
    days: ['sun'],
    from: '22:00',
    to: '02:00',
    at: '2026-11-23T01:00:00Z',
    want: true,
  },
];

describe('a time window (D19)', () => {
  for (const { name, zone, days = [...everyDay], from, to, at, want } of rows) {
    it(`${name}: ${want ? 'open' : 'closed'}`, () => {
      const window = compileTimeWindow('w', { timezone: zone, days, from, to });
      expect(window?.contains(Date.parse(at))).to.equal(want);
    });
  }

  it('answers for the moment asked, whatever was asked before', () => {
    const window = compileTimeWindow('w', {
      timezone: 'UTC',
      days: [...everyDay],
      from: '09:00',
      to: '16:00',
    });
    const asked = ['08:59:59.999', '09:00:00.000', '08:59:00.000', '15:59:59.999', '16:00:00.000'];
    const said = asked.map((time) => window?.contains(Date.parse(`2026-11-24T${time}Z`)));
    expect(said).to.deep.equal([false, true, false, true, false]);
  });

  for (const zone of ['Mars/Base', '+01:00', '']) {
    it(`is none in the zone "${zone}"`, () => {
      const entry = { timezone: zone, days: [...everyDay], from: '09:00', to: '16:00' };
      expect(compileTimeWindow('w', entry)).to.equal(undefined);
    });
  }
});
