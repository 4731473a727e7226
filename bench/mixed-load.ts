import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../envoy/find-envoy.js';
import { createCases } from '../examples/quickstart/cases.js';
import { checkRequestOf } from '../examples/quickstart/direct.js';
import { until } from '../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../examples/quickstart/workplace.js';
import { encodeCheckRequest } from '../src/wire/external-auth.js';
import type { Question } from './flood.js';

/** A sidecar with the quick start's policies, and questions of every kind for it. */
export interface Measured {
  readonly workplace: Workplace;
  readonly questions: readonly Question[];
  /** Resident memory of the sidecar and its workers, in MiB. */
  residentMiB(): number;
  /** Open descriptors of the sidecar and its workers. */
  descriptors(): number;
  stop(): Promise<void>;
}

/** @param settings lines that are added to `countersign.yaml` */
export async function startMeasured(settings = ''): Promise<Measured> {
  const workplace = await createWorkplace();
  const cases = await createCases(workplace);
  if (settings !== '') appendFileSync(workplace.configFile, `${settings}\n`);
  const main = join(root, 'build', 'src', 'main.js');
  // The decision log is written, and nobody here has to read it.
  const child = spawn(process.execPath, [main, 'serve', '-c', workplace.configFile], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const ready = `http://127.0.0.1:${workplace.ports.admin}/readyz`;
  await until(async () => (await fetch(ready).catch(() => undefined))?.ok === true, 'not ready');
  const steps = cases
    .flatMap(({ steps }) => steps)
    // What happens once, and what changes a file first, has no answer that stays right.
    .filter(
      ({ call, before }) =>
        before === undefined && !('x-countersign-approval' in (call.headers ?? {})),
    );
  const questions = steps.map(({ call, want }, at) => ({
    message: encodeCheckRequest(checkRequestOf(workplace, call, `q-${at}`)),
    want: want.code === 'permitted' ? `permit ${want.rule}` : `deny ${want.code}`,
  }));
  return {
    workplace,
    questions,
    residentMiB: () => sum(processes(child).map(residentMiB)),
    descriptors: () => sum(processes(child).map(descriptorsOf)),
    async stop() {
      child.kill('SIGTERM');
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(force);
      workplace.remove();
    },
  };
}

const sum = (values: readonly number[]) => values.reduce((total, one) => total + one, 0);

function processes({ pid = 0 }: ChildProcess): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return [pid, ...children.split(' ').filter(Boolean).map(Number)];
}

function residentMiB(pid: number): number {
  const [, kiB = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kiB) / 1024;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
