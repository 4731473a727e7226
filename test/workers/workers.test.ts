import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { approve, createCases } from '../../examples/quickstart/cases.js';
import type { Call } from '../../examples/quickstart/client.js';
import { connectDirectly } from '../../examples/quickstart/direct.js';
import { type Sidecar, startSidecar, until } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';

type Direct = ReturnType<typeof connectDirectly>;

const size = 3;
const permitted: Call = { method: 'GET', path: '/finance/x', as: 'agent' };
const denied: Call = { method: 'POST', path: '/finance/x', as: 'agent' };

describe(`a sidecar of ${size} workers`, () => {
  let workplace: Workplace;
  let sidecar: Sidecar;
  /** More connections than workers, each with a worker of its own as long as it lasts. */
  let connections: Direct[];
  before(async function () {
    this.timeout(60_000);
    workplace = await createWorkplace();
    await createCases(workplace);
    const text = readFileSync(workplace.configFile, 'utf8');
    workplace.write(
      'countersign.yaml',
      `${text}workers: ${size}\ndecisionLog: { recent: 1000, detail: full }\n`,
    );
    sidecar = await startSidecar(workplace.configFile, workplace.ports.admin);
    connections = Array.from({ length: 2 * size }, () => connectDirectly(workplace));
  });
  after(async () => {
    for (const connection of connections) connection.close();
    await sidecar.stop('SIGKILL');
    workplace.remove();
  });
  const admin = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${workplace.ports.admin}${path}`);
    return { status: response.status, text: await response.text() };
  };
  const metric = async (name: string) => {
    const { text } = await admin('/metrics');
    const lines = text.split('\n').filter((line) => line.startsWith(name));
    return lines.map((line) => Number(line.split(' ').at(-1))).reduce((sum, one) => sum + one, 0);
  };
  const everywhere = (call: Call) => Promise.all(connections.map((one) => one.send(call)));
  const idOf = (body: string) => /"decision":"([^"]+)"/.exec(body)?.[1] ?? 'none';
  const workerPids = () =>
    [...sidecar.output().stderr.matchAll(/"worker":(\d+)/g)].map(([, number]) => Number(number));

  it('is ready when every worker is', async () => {
    expect((await admin('/readyz')).text).to.match(/^ready, policy /);
    expect(workerPids()).to.include(1);
  });

  it('answers each connection rightly, and counts all answers as one process would', async () => {
    const before = await metric('countersign_decisions_total');
    const answers = [...(await everywhere(permitted)), ...(await everywhere(denied))];
    const statuses = answers.map(({ status }) => status);
    expect(statuses).to.deep.equal([...Array(2 * size).fill(200), ...Array(2 * size).fill(403)]);
    expect((await metric('countersign_decisions_total')) - before).to.equal(4 * size);
    expect(await metric('countersign_workers{state="answering"}')).to.equal(size);
  });

  it('finds a decision of any worker by its id', async () => {
    const ids = (await everywhere(denied)).map(({ body }) => idOf(body));
    for (const id of ids) {
      const { status, text } = await admin(`/decisions/${id}`);
      expect(status).to.equal(200);
      expect(JSON.parse(text)).to.deep.include({ decision: id, code: 'denied_by_rule' });
    }
    expect((await admin('/decisions/nobody')).status).to.equal(404);
  });

  it('takes an approval once, whichever worker sees it again', async () => {
    const call: Call = {
      method: 'POST',
      path: '/payments/p-42',
      as: 'payments',
      headers: {
        'x-countersign-approval': approve(
          workplace,
          'spiffe://prod.example/ns/payments/sa/bot',
          'POST',
          '/payments/p-42',
        ),
      },
    };
    const statuses = (await everywhere(call)).map(({ status }) => status).sort();
    expect(statuses).to.deep.equal([200, ...Array(2 * size - 1).fill(403)]);
  });

  it('refuses what is used once while the primary does not answer', async () => {
    const subject = 'spiffe://prod.example/ns/payments/sa/bot';
    const approval = approve(workplace, subject, 'POST', '/payments/p-43');
    const headers = { 'x-countersign-approval': approval };
    const call: Call = { method: 'POST', path: '/payments/p-43', as: 'payments', headers };
    const [connection] = connections;
    expect((await connection?.send(permitted))?.status).to.equal(200);
    sidecar.process.kill('SIGSTOP');
    const meanwhile = await connection?.send(call);
    const others = await connection?.send(permitted);
    sidecar.process.kill('SIGCONT');
    expect(meanwhile?.status).to.equal(503);
    expect(meanwhile?.body).to.match(/"code":"store_unavailable"/);
    expect(others?.status, 'what needs no memory is decided').to.equal(200);
  });

  it('writes whole lines to the decision log', async () => {
    const rounds = 50;
    const sent = await Promise.all(Array.from({ length: rounds }, () => everywhere(denied)));
    const ids = sent.flat().map(({ body }) => idOf(body));
    await Promise.all(ids.map((id) => sidecar.decision(id)));
    const lines = sidecar.output().stdout.split('\n').slice(0, -1);
    const readable = lines.map((line) => JSON.parse(line) as { decision: string });
    const logged = new Set(readable.map(({ decision }) => decision));
    expect(ids.filter((id) => !logged.has(id))).to.deep.equal([]);
  });

  it('goes over to another policy in every worker', async () => {
    workplace.write(
      'policies/closed.yaml',
      'version: 1\npolicy: closed\nrules: [{ id: closed, effect: deny, paths: ["/finance/**"] }]\n',
    );
    await until(
      async () => (await everywhere(permitted)).every(({ status }) => status === 403),
      'a worker still permits',
    );
    workplace.write('policies/closed.yaml', 'version: 1\npolicy: closed\nrules: []\n');
    await until(
      async () => (await everywhere(permitted)).every(({ status }) => status === 200),
      'a worker still denies',
    );
  });

  it('starts another worker in the place of one that is killed, and loses no count', async () => {
    const before = await metric('countersign_decisions_total');
    const [victim] = await childrenOf(sidecar.process.pid ?? 0);
    process.kill(victim ?? 0, 'SIGKILL');
    await until(
      async () => (await metric('countersign_worker_restarts_total')) === 1,
      'nobody noticed',
    );
    await until(async () => (await admin('/readyz')).status === 200, 'it does not come back');
    expect(await childrenOf(sidecar.process.pid ?? 0)).to.have.length(size);
    await until(
      async () =>
        (await Promise.allSettled(connections.map((one) => one.send(permitted)))).every(
          (one) => one.status === 'fulfilled' && one.value.status === 200,
        ),
      'not every connection came back',
    );
    expect(await metric('countersign_decisions_total')).to.be.at.least(before + 2 * size);
  });

  it('ends with all its workers, with code 0', async () => {
    const pids = await childrenOf(sidecar.process.pid ?? 0);
    expect(await sidecar.stop('SIGTERM')).to.equal(0);
    expect(pids.filter(isAlive)).to.deep.equal([]);
  });
});

describe('the workers of a primary that is killed', () => {
  it('end, and leave the address to the next one', async function () {
    this.timeout(60_000);
    const workplace = await createWorkplace();
    await createCases(workplace);
    const text = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', `${text}workers: 2\n`);
    const sidecar = await startSidecar(workplace.configFile, workplace.ports.admin);
    const pids = await childrenOf(sidecar.process.pid ?? 0);
    expect(pids).to.have.length(2);
    await sidecar.stop('SIGKILL');
    await until(async () => pids.filter(isAlive).length === 0, 'a worker lives on');
    const next = await startSidecar(workplace.configFile, workplace.ports.admin);
    const direct = connectDirectly(workplace);
    expect((await direct.send(permitted)).status).to.equal(200);
    direct.close();
    expect(await next.stop('SIGTERM')).to.equal(0);
    workplace.remove();
  });
});

async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** A process that ended, and that nobody has asked about yet, is a zombie: it does nothing more. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
