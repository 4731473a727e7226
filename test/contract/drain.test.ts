import { Client, credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createCases } from '../../examples/quickstart/cases.js';
import { connectDirectly } from '../../examples/quickstart/direct.js';
import { startSidecar } from '../../examples/quickstart/sidecar.js';
import { createWorkplace } from '../../examples/quickstart/workplace.js';

describe('a sidecar that is told to end', () => {
  it('says so to health, goes on answering while Envoy drains, and ends with code 0 (row 131)', async function () {
    this.timeout(30_000);
    const workplace = await createWorkplace();
    await createCases(workplace);
    const { countersign, admin } = workplace.ports;
    const sidecar = await startSidecar(workplace.configFile, admin, ['--drain-ms', '1500']);
    const direct = connectDirectly(workplace);
    const client = new Client(`127.0.0.1:${countersign}`, credentials.createInsecure());
    const health = () =>
      new Promise<number | undefined>((resolve, reject) => {
        client.makeUnaryRequest(
          '/grpc.health.v1.Health/Check',
          (value: Uint8Array) => Buffer.from(value),
          (value: Buffer) => value,
          new Uint8Array(0),
          (error, response) => (error === null ? resolve(response?.[1]) : reject(error)),
        );
      });
    const call = { method: 'GET', path: '/finance/x', as: 'agent' };
    expect(await health(), 'SERVING').to.equal(1);
    expect((await direct.send(call)).status).to.equal(200);
    const ended = sidecar.stop('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await health(), 'NOT_SERVING').to.equal(2);
    expect((await direct.send(call)).status).to.equal(200);
    direct.close();
    client.close();
    expect(await ended).to.equal(0);
    workplace.remove();
  });
});
