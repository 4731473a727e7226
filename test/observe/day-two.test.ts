import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { stringify } from 'yaml';
import { connectDirectly } from '../../examples/quickstart/direct.js';
import { type Sidecar, startSidecar, until } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, reserve, type Workplace } from '../../examples/quickstart/workplace.js';
import { Collector } from '../support/collector.js';

const hasPrometheus = spawnSync('prometheus', ['--version']).error === undefined;
const itWithPrometheus = hasPrometheus || process.env['CI'] === 'true' ? it : it.skip;

interface PrometheusAnswer {
  readonly data: {
    readonly result?: readonly { readonly value: readonly [number, string] }[];
    readonly groups?: readonly { readonly rules: readonly { readonly health: string }[] }[];
  };
}

describe('a running sidecar', () => {
  let workplace: Workplace;
  let sidecar: Sidecar | undefined;
  let client: ReturnType<typeof connectDirectly> | undefined;
  beforeEach(async () => {
    workplace = await createWorkplace();
    await workplace.addCaller('agent', 'spiffe://prod.example/ns/agents/sa/planner');
  });
  afterEach(async () => {
    client?.close();
    await sidecar?.stop('SIGKILL');
    client = undefined;
    sidecar = undefined;
    workplace.remove();
  });

  const start = async (more = '', args?: readonly string[]) => {
    const config = readFileSync(workplace.configFile, 'utf8');
    // A busy machine is no failure here.
    workplace.write(
      'countersign.yaml',
      `${config.replace(/^deadline: .*\n/m, '')}deadline: 5s\n${more}`,
    );
    sidecar = await startSidecar(workplace.configFile, workplace.ports.admin, args);
    client = connectDirectly(workplace);
  };
  const ask = async (headers: Record<string, string> = {}) =>
    (await client?.send({ method: 'GET', path: '/finance/x', as: 'agent', headers }))?.status;
  const askMany = async (count: number) => {
    for (let done = 0; done < count; done += 1) expect(await ask()).to.equal(200);
  };
  const admin = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${workplace.ports.admin}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const shows = async (line: string) => {
    const { text } = await admin('/metrics');
    return text.split('\n').includes(line);
  };
  const recordsIn = (name: string) =>
    existsSync(workplace.path(name))
      ? readFileSync(workplace.path(name), 'utf8').split('\n').filter(Boolean)
      : [];

  it('answers every Check while nobody reads the pipe that its log goes to, and ends', async () => {
    execFileSync('mkfifo', [workplace.path('log.fifo')]);
    await start('decisionLog: { to: log.fifo }\n');
    await askMany(200);
    await until(() => shows('countersign_decision_log_failing 1'), 'the failure is not shown');
    expect(await sidecar?.stop('SIGTERM')).to.equal(0);
    expect(sidecar?.output().stderr).to.match(
      /"dropped":200,"msg":"decision records were dropped"/,
    );
  });

  it('answers every Check while its standard output is not read, and ends', async () => {
    await start('decisionLog: { detail: full }\n');
    sidecar?.process.stdout?.pause();
    await askMany(300);
    const ended = sidecar?.stop('SIGTERM');
    const ending = new Promise((done) => sidecar?.process.once('exit', done));
    expect(await ending).to.equal(0);
    sidecar?.process.stdout?.resume();
    await ended;
  });

  it('answers every Check while the disk of its log is full', async () => {
    await start('decisionLog: { to: /dev/full }\n');
    await askMany(50);
    await until(() => shows('countersign_decision_log_failing 1'), 'the failure is not shown');
    expect((await admin('/readyz')).status).to.equal(200);
  });

  it('loses no record when its log is moved away and it gets SIGHUP', async () => {
    await start('decisionLog: { to: log/decisions.log }\n');
    await askMany(20);
    await until(async () => recordsIn('log/decisions.log').length === 20, 'not written');
    renameSync(workplace.path('log/decisions.log'), workplace.path('log/moved'));
    sidecar?.process.kill('SIGHUP');
    await askMany(20);
    await until(async () => existsSync(workplace.path('log/decisions.log')), 'not reopened');
    const both = () => [...recordsIn('log/moved'), ...recordsIn('log/decisions.log')];
    await until(async () => both().length === 40, 'not written');
    const ids = both().map((line) => JSON.parse(line).decision);
    expect(new Set(ids).size).to.equal(40);
  });

  it('shows a broken file and the next good one, and stays ready', async () => {
    await start();
    const good = readFileSync(workplace.path('data/posture.yaml'), 'utf8');
    workplace.write('data/posture.yaml', 'version: 1\nidentities: 5\n');
    await until(() => shows('countersign_files_broken{what="data posture"} 1'), 'not shown');
    expect((await admin('/readyz')).status).to.equal(200);
    expect(
      await shows('countersign_reloads_total{what="data posture",result="broken"} 1'),
    ).to.equal(true);
    workplace.write('data/posture.yaml', good.replace(/updatedAt: .*/, 'updatedAt: 2026-01-02'));
    await until(() => shows('countersign_files_broken{what="data posture"} 0'), 'not shown');
    const updated = Date.parse('2026-01-02') / 1000;
    expect(await shows(`countersign_posture_updated_timestamp_seconds ${updated}`)).to.equal(true);
    expect(await shows('countersign_in_flight 0')).to.equal(true);
  });

  it('shows how full its replay store is', async () => {
    await start('replay: { maxEntries: 1 }\n');
    expect(await shows('countersign_replay_capacity 1')).to.equal(true);
    expect(await shows('countersign_replay_entries 0')).to.equal(true);
  });

  it('sends a trace to the collector of its configuration, and another after it changed', async () => {
    const [first, second] = [new Collector(), new Collector()];
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const url = await first.start();
    await start(`tracing: { otlp: "${url}" }\n`);
    await ask({ traceparent });
    await until(async () => first.spans.length === 1, 'the first collector has no span');
    const config = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', config.replace(url, await second.start()));
    await until(async () => {
      await ask({ traceparent });
      await new Promise((done) => setTimeout(done, 200));
      return second.spans.length > 0;
    }, 'the second collector has no span');
    expect([...first.spans, ...second.spans].map(({ traceId }) => traceId)).to.satisfy(
      (ids: readonly string[]) => ids.every((id) => id === '4bf92f3577b34da6a3ce929d0e0e4736'),
    );
    await Promise.all([first.stop(), second.stop()]);
  });

  itWithPrometheus(
    'is scraped by a real Prometheus with the alert rules loaded',
    async function () {
      this.timeout(60_000);
      await start();
      await askMany(3);
      const folder = mkdtempSync(join(tmpdir(), 'countersign-prometheus-'));
      const [port = 0] = await reserve(1);
      const config = {
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: [resolve('observability/alerts.yaml')],
        scrape_configs: [
          {
            job_name: 'countersign',
            static_configs: [{ targets: [`127.0.0.1:${workplace.ports.admin}`] }],
          },
        ],
      };
      writeFileSync(join(folder, 'prometheus.yml'), stringify(config));
      const prometheus: ChildProcess = spawn(
        'prometheus',
        [
          `--config.file=${join(folder, 'prometheus.yml')}`,
          `--storage.tsdb.path=${join(folder, 'data')}`,
          `--web.listen-address=127.0.0.1:${port}`,
        ],
        { stdio: 'ignore' },
      );
      const ended = new Promise((done) => prometheus.once('close', done));
      const get = async (path: string): Promise<PrometheusAnswer> => {
        const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`).catch(
          () => undefined,
        );
        return response?.ok === true ? JSON.parse(await response.text()) : { data: {} };
      };
      const value = async (query: string): Promise<string | undefined> =>
        (await get(`query?query=${encodeURIComponent(query)}`)).data.result?.[0]?.value[1];
      try {
        await until(async () => (await value('up')) === '1', 'nothing was scraped');
        expect(await value('countersign_answers_total{code="permitted"}')).to.equal('3');
        expect(await value('countersign_ready')).to.equal('1');
        const { groups = [] } = (await get('rules')).data;
        const states = groups.flatMap(({ rules }) => rules.map(({ health }) => health));
        expect(states).to.have.length.greaterThan(20);
        expect(states).to.not.include('err');
      } finally {
        prometheus.kill();
        await ended;
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});
