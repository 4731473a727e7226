import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { connectRawClient, type RawClient } from '../../bench/raw-client.js';
import { type Sidecar, startSidecar } from '../../examples/quickstart/sidecar.js';
import { reserve } from '../../examples/quickstart/workplace.js';
import { checkPath } from '../../src/server/listener.js';
import { createRevisions, outcomeOf, type Probe, probeBytes, swap } from '../support/revisions.js';

const swaps = 12;
const everyMs = 700;
const lanes = 8;

describe('every kind of file is swapped again and again under load', () => {
  let folder: string | undefined;
  let sidecar: Sidecar | undefined;
  let clients: RawClient[] = [];
  afterEach(async () => {
    for (const client of clients) client.close();
    await sidecar?.stop('SIGKILL');
    if (folder !== undefined) rmSync(folder, { recursive: true });
    clients = [];
  });

  for (const workers of [1, 2]) {
    it(`and each Check is decided by one revision, with ${workers} worker(s) (row 122)`, async function () {
      this.timeout(120_000);
      folder = mkdtempSync(join(tmpdir(), 'countersign-reload-'));
      const [port = 0, admin = 0] = await reserve(2);
      const address = `listen: 127.0.0.1:${port}\nadmin: 127.0.0.1:${admin}`;
      const { configFile, mount, probes } = await createRevisions(
        folder,
        `${address}\nworkers: ${workers}\ndeadline: 10s`,
      );
      sidecar = await startSidecar(configFile, admin);
      for (let at = 0; at < 2 * workers; at += 1) {
        clients.push(await connectRawClient({ port }, checkPath, '60S'));
      }
      const seen = new Map(probes.map((probe) => [probe, new Map<string, number>()]));
      let isOver = false;
      let checks = 0;
      const ask = (probe: Probe, client: RawClient) =>
        new Promise<string>((resolve) => {
          client.call(probeBytes(probe), (answer) =>
            resolve(answer === undefined ? 'no answer' : outcomeOf(answer)),
          );
        });
      const lane = async (at: number) => {
        for (let turn = at; !isOver; turn += 1) {
          const probe = probes[turn % probes.length];
          const client = clients[at % clients.length];
          if (probe === undefined || client === undefined) throw new Error('nothing to ask');
          const outcome = await ask(probe, client);
          const outcomes = seen.get(probe);
          outcomes?.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          checks += 1;
        }
      };
      const load = Promise.all(Array.from({ length: lanes }, (_, at) => lane(at)));
      for (let time = 1; time <= swaps; time += 1) {
        await new Promise((resolve) => setTimeout(resolve, everyMs));
        swap(mount, time % 2 === 1 ? 'b' : 'a');
      }
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      isOver = true;
      await load;
      const outcomes = [...seen].map(([{ name }, said]) => `${name}: ${[...said.keys()].sort()}`);
      const allowed = probes.map((probe) => `${probe.name}: ${[...probe.allowed].sort()}`);
      expect(outcomes).to.deep.equal(allowed);
      expect(checks).to.be.greaterThan(500);
    });
  }
});
