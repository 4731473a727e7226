import { appendFileSync } from 'node:fs';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { createCases } from '../../examples/quickstart/cases.js';
import { connectDirectly } from '../../examples/quickstart/direct.js';
import { type Sidecar, startSidecar, until } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';
import { healthCheckPath, healthWatchPath } from '../../src/server/listener.js';
import { framed, grpcHead } from './both-servers.js';

const call = { method: 'GET', path: '/finance/x', as: 'agent' };
const anHour = String(3_600_000);
const names = new Map([
  [1, 'SERVING'],
  [2, 'NOT_SERVING'],
]);

for (const workers of [1, 2]) {
  describe(`a sidecar of ${workers === 1 ? 'one process' : `${workers} workers`} that is told to end`, () => {
    let workplace: Workplace;
    let sidecar: Sidecar;
    let session: ClientHttp2Session;
    let direct: ReturnType<typeof connectDirectly>;
    beforeEach(async function () {
      this.timeout(30_000);
      workplace = await createWorkplace();
      await createCases(workplace);
      appendFileSync(workplace.configFile, `workers: ${workers}\n`);
    });
    afterEach(async () => {
      session?.destroy();
      direct?.close();
      await sidecar?.stop('SIGKILL');
      workplace.remove();
    });
    const start = async (drainMs: string) => {
      const { countersign, admin } = workplace.ports;
      sidecar = await startSidecar(workplace.configFile, admin, ['--drain-ms', drainMs]);
      direct = connectDirectly(workplace);
      session = connect(`http://127.0.0.1:${countersign}`);
      session.on('error', () => {});
      await new Promise((resolve) => session.once('connect', resolve));
    };
    /** The statuses that a health call is told, as they come. */
    const health = (path: string, tell: (status: string) => void) => {
      const stream = session.request({ ...grpcHead, ':path': path });
      stream.on('error', () => {});
      stream.on('data', (chunk: Buffer) => tell(names.get(chunk[6] ?? 0) ?? 'unknown'));
      stream.end(framed(new Uint8Array(0)));
    };
    const healthNow = () => new Promise((resolve) => health(healthCheckPath, resolve));

    it('says so to health, goes on answering in the window, says GOAWAY, and ends with code 0 (row 131)', async function () {
      this.timeout(30_000);
      await start('1500');
      const seen: string[] = [];
      health(healthWatchPath, (status) => seen.push(status));
      session.once('goaway', (code) => seen.push(`GOAWAY ${code}`));
      expect(await healthNow()).to.equal('SERVING');
      expect((await direct.send(call)).status).to.equal(200);
      const ended = sidecar.stop('SIGTERM').then((code) => seen.push(`exit ${code}`));
      await until(async () => seen.includes('NOT_SERVING'), 'the Watch is not told');
      expect(await healthNow()).to.equal('NOT_SERVING');
      expect((await direct.send(call)).status).to.equal(200);
      const late = connectDirectly(workplace);
      expect((await late.send(call)).status).to.equal(200);
      seen.push('answered');
      late.close();
      await ended;
      expect(seen).to.deep.equal([
        'SERVING',
        'NOT_SERVING',
        'answered',
        `GOAWAY ${constants.NGHTTP2_NO_ERROR}`,
        'exit 0',
      ]);
    });

    it('ends at once by a second signal, with code 0 (row 132)', async function () {
      this.timeout(30_000);
      await start(anHour);
      const ended = sidecar.stop('SIGTERM');
      await until(async () => (await healthNow()) === 'NOT_SERVING', 'it does not drain');
      expect((await direct.send(call)).status).to.equal(200);
      sidecar.process.kill('SIGTERM');
      expect(await ended).to.equal(0);
    });

    it('stays NOT_SERVING when a file changes in the window', async function () {
      this.timeout(30_000);
      await start(anHour);
      const ended = sidecar.stop('SIGTERM');
      await until(async () => (await healthNow()) === 'NOT_SERVING', 'it does not drain');
      const closed = 'rules: [{ id: closed, effect: deny, paths: ["/finance/**"] }]';
      workplace.write('policies/closed.yaml', `version: 1\npolicy: closed\n${closed}\n`);
      await until(async () => (await direct.send(call)).status === 403, 'it is not loaded');
      expect(await healthNow()).to.equal('NOT_SERVING');
      sidecar.process.kill('SIGTERM');
      expect(await ended).to.equal(0);
    });
  });
}
