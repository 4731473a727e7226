import { readdirSync, readFileSync } from 'node:fs';

/** A process and everything it started. */
export function family(pid: number): readonly number[] {
  const children = tasks(pid).flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(family)];
}

function tasks(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** CPU time that all threads of a process and of its children have used, in microseconds. */
export function cpuUs(pid: number): number {
  let nanoseconds = 0;
  for (const member of family(pid)) {
    for (const task of tasks(member)) {
      nanoseconds += Number(read(`/proc/${member}/task/${task}/schedstat`).split(' ')[0] ?? 0);
    }
  }
  return nanoseconds / 1000;
}

/** Memory that a process and its children have resident, in MB (10^6 bytes). */
export function residentMb(pid: number): number {
  let kilobytes = 0;
  for (const member of family(pid)) {
    kilobytes += Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${member}/status`))?.[1] ?? 0);
  }
  return (kilobytes * 1024) / 1e6;
}
