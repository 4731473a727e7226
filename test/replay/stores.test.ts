import { type ChildProcess, spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { root } from '../../envoy/find-envoy.js';
import { until } from '../../examples/quickstart/sidecar.js';
import { reserve } from '../../examples/quickstart/workplace.js';
import { memoryStore } from '../../src/replay/memory-store.js';
import type { ReplayStore, Spent } from '../../src/replay/replay-store.js';
import { valkeyStore } from '../../src/replay/valkey-store.js';
import { describeRedis, killRedis, startRedis } from '../support/redis.js';

/** One clock for both. */
const steady = (nowMs: () => number) => ({ nowMs, monotonicMs: nowMs });

describe('the memory store', () => {
  it('gives a credential to one request, and again to the same', () => {
    const store = memoryStore(
      () => 10,
      steady(() => 1000),
    );
    expect(store.spend('a', 'r1', 5000)).to.equal('first');
    expect(store.spend('a', 'r1', 5000)).to.equal('again');
    expect(store.spend('a', 'r2', 5000)).to.equal('used');
  });

  it('refuses when it is full, and never forgets an entry before its time', () => {
    let now = 1000;
    const store = memoryStore(
      () => 2,
      steady(() => now),
    );
    expect(store.spend('a', 'r', 5000)).to.equal('first');
    expect(store.spend('b', 'r', 9000)).to.equal('first');
    expect(store.spend('c', 'r', 9000)).to.equal('unavailable');
    expect(store.spend('a', 'x', 5000)).to.equal('used');
    now = 6500;
    expect(store.spend('c', 'r', 9000)).to.equal('first');
    expect(store.spend('b', 'x', 9000)).to.equal('used');
  });

  it('says how full it is, forgetting what has expired, and what it refused', async () => {
    let now = 0;
    const store = memoryStore(() => 2, { nowMs: () => now, monotonicMs: () => now });
    await store.spend('a', 'r', 1_000);
    await store.spend('b', 'r', 90_000);
    await store.spend('c', 'r', 90_000);
    expect(store.state()).to.deep.equal({ entries: 2, capacity: 2, unavailable: 1 });
    now = 5_000;
    expect(store.state()).to.deep.equal({ entries: 1, capacity: 2, unavailable: 1 });
  });

  /** The wall clock and the steady one, in the order of what happens. */
  const steps: readonly {
    name: string;
    spent: [number, number];
    until: number;
    again: [number, number];
    want: Spent;
  }[] = [
    {
      name: 'both clocks go on',
      spent: [10_000, 0],
      until: 12_000,
      again: [11_999, 1_999],
      want: 'used',
    },
    {
      name: 'its time is over',
      spent: [10_000, 0],
      until: 12_000,
      again: [12_000, 2_000],
      want: 'first',
    },
    {
      name: 'the wall clock stepped back after it was spent',
      spent: [10_000, 0],
      until: 12_000,
      again: [1_000, 500],
      want: 'used',
    },
    {
      name: 'the wall clock stepped back after its time was over',
      spent: [10_000, 0],
      until: 12_000,
      again: [11_000, 9_000],
      want: 'used',
    },
    {
      name: 'the wall clock stepped forward and back',
      spent: [10_000, 0],
      until: 12_000,
      again: [11_000, 1_000],
      want: 'used',
    },
    {
      name: 'the wall clock stepped forward, beyond its time',
      spent: [10_000, 0],
      until: 12_000,
      again: [99_000, 1_000],
      want: 'used',
    },
  ];
  for (const { name, spent, until, again, want } of steps) {
    it(`answers "${want}" when ${name} (B7)`, () => {
      let [wall, steadyNow] = [500_000, 0];
      const clocks = { nowMs: () => wall, monotonicMs: () => steadyNow };
      const store = memoryStore(() => 10, clocks);
      // An earlier use at a wall clock that was far ahead must not shorten what comes after it.
      expect(store.spend('earlier', 'r', 600_000)).to.equal('first');
      [wall, steadyNow] = spent;
      expect(store.spend('a', 'r', until)).to.equal('first');
      [wall, steadyNow] = again;
      expect(store.spend('a', 'x', until)).to.equal(want);
    });
  }
});

describeRedis('the Valkey store', () => {
  let server: ChildProcess;
  let port = 0;
  const stores: ReplayStore[] = [];
  const open = () => {
    const store = valkeyStore(`redis://127.0.0.1:${port}`, Date.now, 1000);
    stores.push(store);
    return store;
  };
  const isUp = async (store: ReplayStore) =>
    (await store.spend(`probe-${Math.random()}`, 'r', Date.now() + 1000)) === 'first';

  before(async function () {
    this.timeout(20_000);
    [port = 0] = await reserve(1);
    server = startRedis(port);
    const probe = open();
    await until(() => isUp(probe), 'the store did not start');
  });
  after(async () => {
    await killRedis(server);
    for (const store of stores) await store.close();
  });

  it('loads its client only where it is configured', () => {
    // In a process of its own: here other suites have loaded it long since.
    const script = `
      import { createRequire } from 'node:module';
      const { cache } = createRequire('file:///x.js');
      const isLoaded = () => Object.keys(cache).some((path) => path.includes('/iovalkey/'));
      await import('${root}/build/src/load/loader.js');
      const { valkeyStore } = await import('${root}/build/src/replay/valkey-store.js');
      const before = isLoaded();
      const store = valkeyStore('redis://127.0.0.1:1', Date.now, 10);
      await store.spend('a', 'r', Date.now());
      await store.close();
      process.stdout.write(before + ' ' + isLoaded());`;
    const args = ['--input-type=module', '--eval', script];
    expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).to.equal('false true');
  });

  it('gives one credential to one of twenty requests on four sidecars', async () => {
    const sidecars = [open(), open(), open(), open()];
    for (const sidecar of sidecars) await until(() => isUp(sidecar), 'a store did not connect');
    const spent = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        sidecars[at % 4]?.spend('one', `r${at}`, Date.now() + 60_000),
      ),
    );
    const count = (wanted: Spent) => spent.filter((answer) => answer === wanted).length;
    expect([count('first'), count('used')]).to.deep.equal([1, 19]);
    const winner = spent.indexOf('first');
    expect(await sidecars[0]?.spend('one', `r${winner}`, Date.now() + 60_000)).to.equal('again');
  });

  it('remembers what another sidecar, whose clock is half a minute behind, still accepts', async () => {
    const ahead = valkeyStore(`redis://127.0.0.1:${port}`, () => Date.now() + 30_000, 1000);
    stores.push(ahead);
    await until(() => isUp(ahead), 'the store did not connect');
    const behind = open();
    await until(() => isUp(behind), 'the store did not connect');
    const untilMs = Date.now() + 10_000;
    expect(await ahead.spend('skewed', 'r1', untilMs)).to.equal('first');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await behind.spend('skewed', 'r2', untilMs)).to.equal('used');
  });

  it('that is opened before there is a server is unavailable, and there when the server is', async () => {
    await killRedis(server);
    const store = open();
    expect(await store.spend('x', 'r', Date.now() + 1000)).to.equal('unavailable');
    server = startRedis(port);
    await until(() => isUp(store), 'the store did not come');
  });

  it('is unavailable when the server is gone, and back when it is', async () => {
    const store = open();
    await until(() => isUp(store), 'the store did not connect');
    await killRedis(server);
    expect(await store.spend('x', 'r', Date.now() + 1000)).to.equal('unavailable');
    server = startRedis(port);
    await until(() => isUp(store), 'the store did not come back');
  });
});
