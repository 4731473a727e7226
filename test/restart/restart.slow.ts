import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { createCases } from '../../examples/quickstart/cases.js';
import type { Call } from '../../examples/quickstart/client.js';
import { type Sidecar, startSidecar, until } from '../../examples/quickstart/sidecar.js';
import type { Workplace } from '../../examples/quickstart/workplace.js';
import { createStage, type Edit, type Stage } from '../e2e/stage.js';
import { type Load, startLoad, type Tally } from './load.js';

const kinds: Readonly<Record<string, Call>> = {
  permitted: { method: 'GET', path: '/finance/x', as: 'agent' },
  denied: { method: 'POST', path: '/finance/x', as: 'agent' },
};

/**
 * The configuration of `envoy/quickstart.yaml` but for its timeout: a machine that is busy with other
 * things takes seconds for an answer, and that is not what is tested here.
 */
const patient: Edit = (bootstrap) => {
  const text = JSON.stringify(bootstrap).replace(
    '"grpc_service":{"timeout":"1s"',
    '"grpc_service":{"timeout":"50s"',
  );
  Object.assign(bootstrap, JSON.parse(text));
};

/** What docs/restarts.md says for restarts with a gap: more retries than the gap takes. */
const waitForTheNext: Edit = (bootstrap) => {
  patient(bootstrap);
  const text = JSON.stringify(bootstrap).replace('"num_retries":15', '"num_retries":500');
  Object.assign(bootstrap, JSON.parse(text));
};

const withoutRetries: Edit = (bootstrap) => {
  patient(bootstrap);
  const text = JSON.stringify(bootstrap).replace(/,"retry_policy":\{.*?\}\}/, '');
  Object.assign(bootstrap, JSON.parse(text));
};

/** A budget that no stall of the machine uses up, and so many workers. */
const prepare = (workplace: Workplace, workers: number) => {
  const text = readFileSync(workplace.configFile, 'utf8').replace(/^deadline: .*\n/m, '');
  workplace.write('countersign.yaml', `${text}deadline: 10s\nworkers: ${workers}\n`);
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for the process that was taken over to end, and for the other one to be the one ready. */
async function takeOver(stage: Stage): Promise<number | null> {
  const { configFile, ports } = stage.workplace;
  const old = stage.sidecar;
  const ended = new Promise<number | null>((resolve) => old.process.once('close', resolve));
  stage.sidecar = await startSidecar(configFile, ports.admin, ['--take-over', '--drain-ms', '100']);
  const code = await ended;
  const isOpen = () => stage.sidecar.output().stderr.includes('the admin port is open');
  await until(async () => isOpen(), 'the new one has no admin port');
  return code;
}

const start = ({ workplace }: Stage): Promise<Sidecar> =>
  startSidecar(workplace.configFile, workplace.ports.admin);

const restarts: readonly {
  readonly name: string;
  readonly socket: boolean;
  readonly workers?: number;
  readonly edit?: Edit;
  readonly act: (stage: Stage) => Promise<readonly (number | null)[]>;
  readonly want: readonly (number | null)[];
}[] = [
  {
    name: 'is restarted on TCP with a gap, and Envoy waits for the next one',
    socket: false,
    edit: waitForTheNext,
    act: async (stage) => {
      const code = await stage.sidecar.stop('SIGTERM');
      stage.sidecar = await start(stage);
      return [code];
    },
    want: [0],
  },
  {
    name: 'is killed, and started again, and Envoy waits for the next one',
    socket: false,
    edit: waitForTheNext,
    act: async (stage) => {
      const code = await stage.sidecar.stop('SIGKILL');
      stage.sidecar = await start(stage);
      return [code];
    },
    want: [null],
  },
  {
    name: 'is killed on a unix socket, and started again on the stale socket',
    socket: true,
    edit: waitForTheNext,
    act: async (stage) => {
      const code = await stage.sidecar.stop('SIGKILL');
      stage.sidecar = await start(stage);
      return [code];
    },
    want: [null],
  },
  {
    name: 'hands its socket over',
    socket: true,
    act: async (stage) => [await takeOver(stage)],
    want: [0],
  },
  {
    name: 'hands its socket over four times in a row',
    socket: true,
    act: async (stage) => {
      const codes: (number | null)[] = [];
      for (let time = 0; time < 4; time += 1) codes.push(await takeOver(stage));
      return codes;
    },
    want: [0, 0, 0, 0],
  },
  {
    name: 'hands its socket over from workers to workers',
    socket: true,
    workers: 2,
    act: async (stage) => [await takeOver(stage)],
    want: [0],
  },
  {
    name: 'loses one of two workers',
    socket: true,
    workers: 2,
    act: async (stage) => {
      const pid = stage.sidecar.process.pid ?? 0;
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
      process.kill(Number(children[0]), 'SIGKILL');
      await until(
        async () => stage.sidecar.output().stderr.includes('a worker ended'),
        'nobody noticed',
      );
      return [];
    },
    want: [],
  },
];

describe('no request fails, and none is let through unasked, while a sidecar under load', () => {
  let stage: Stage | undefined;
  let load: Load | undefined;
  afterEach(async () => {
    await load?.stop();
    await stage?.close();
    load = undefined;
    stage = undefined;
  });

  for (const { name, socket, workers = 1, edit = patient, act, want } of restarts) {
    it(name, async function () {
      this.timeout(240_000);
      stage = await createStage({
        socket,
        edit,
        prepare: (workplace) => prepare(workplace, workers),
      });
      const { workplace } = stage;
      await createCases(workplace);
      load = startLoad(workplace, kinds);
      await pause(1_000);
      const codes = await act(stage);
      await pause(1_000);
      const tallies = await load.stop();
      load = undefined;
      expect(codes).to.deep.equal(want);
      const all = (tally: Tally | undefined) => tally?.sent ?? 0;
      expect(tallies['permitted']?.answers).to.deep.equal({
        '200 permitted': all(tallies['permitted']),
      });
      expect(tallies['denied']?.answers).to.deep.equal({
        '403 denied_by_rule': all(tallies['denied']),
      });
      expect(all(tallies['denied'])).to.be.greaterThan(20);
      const unasked = stage.upstream.arrivals.filter(({ method }) => method !== 'GET');
      expect(unasked).to.deep.equal([]);
    });
  }

  it('answers 503 in its absence without the retry policy, and still lets none through', async function () {
    this.timeout(240_000);
    stage = await createStage({
      edit: withoutRetries,
      prepare: (workplace) => prepare(workplace, 1),
    });
    await createCases(stage.workplace);
    load = startLoad(stage.workplace, kinds);
    await pause(1_000);
    await stage.sidecar.stop('SIGKILL');
    await pause(500);
    stage.sidecar = await start(stage);
    await pause(500);
    const tallies = await load.stop();
    load = undefined;
    const answersOf = (kind: string) => Object.keys(tallies[kind]?.answers ?? {}).sort();
    expect(answersOf('permitted')).to.deep.equal(['200 permitted', '503 ']);
    expect(answersOf('denied')).to.deep.equal(['403 denied_by_rule', '503 ']);
    expect(stage.upstream.arrivals.filter(({ method }) => method !== 'GET')).to.deep.equal([]);
  });
});
