import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type handleServerStreamingCall, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { type WorkloadApi, workloadApi } from '../../src/trust/workload-api.js';
import { workloadService } from '../support/spiffe-agent.js';

/** An agent that ends every stream at once with this status, and counts what it is asked. */
async function refusingAgent(socket: string, code: status) {
  const asked: string[] = [];
  const refuse: handleServerStreamingCall<object, object> = (call) => {
    asked.push(String(call.metadata.get('workload.spiffe.io')));
    call.emit('error', { code, details: 'no' });
  };
  const { FetchJWTBundles, FetchX509Bundles } = workloadService;
  const server = new Server();
  server.addService(
    { FetchJWTBundles, FetchX509Bundles },
    { FetchJWTBundles: refuse, FetchX509Bundles: refuse },
  );
  await new Promise<void>((resolve, reject) => {
    const done = (error: Error | null) => (error === null ? resolve() : reject(error));
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), done);
  });
  return { asked, stop: () => server.forceShutdown() };
}

describe('a Workload API that ends its streams (C19)', () => {
  let folder: string;
  const streams: WorkloadApi[] = [];
  const agents: { readonly asked: readonly string[]; stop(): void }[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-refusing-'));
  });
  after(() => {
    for (const stream of streams) stream.close();
    for (const agent of agents) agent.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const meet = async (code: status) => {
    const socket = join(folder, `${code}.sock`);
    const agent = await refusingAgent(socket, code);
    agents.push(agent);
    const stream = workloadApi({
      endpoint: { target: `unix://${socket}` },
      nowMs: () => performance.now(),
      random: () => 0,
    });
    streams.push(stream);
    return { agent, stream };
  };

  it('is asked again where that can help, with a growing back-off, and left alone where it cannot', async () => {
    const helpless = await Promise.all([status.INVALID_ARGUMENT, status.UNIMPLEMENTED].map(meet));
    const passing = await Promise.all([status.UNAVAILABLE, status.PERMISSION_DENIED].map(meet));
    // Two streams each, and for each the third attempt comes after two back-offs.
    const isAskedThrice = async () => passing.every(({ agent }) => agent.asked.length >= 6);
    await until(isAskedThrice, 'the agents are not asked again');
    expect(helpless.map(({ agent }) => agent.asked.length)).to.deep.equal([2, 2]);
    // A loop without back-off would have asked hundreds of times by now.
    expect(passing.map(({ agent }) => agent.asked.length < 20)).to.deep.equal([true, true]);
  });

  it('is told with every call that no browser asks', () => {
    const said = new Set(agents.flatMap(({ asked }) => asked));
    expect(said).to.deep.equal(new Set(['true']));
  });

  it('gives no bundle, and the state says why', () => {
    const shown = streams.map((stream) => stream.state().jwt.lastError);
    expect(shown).to.deep.equal([
      'the agent answers INVALID_ARGUMENT',
      'the agent answers UNIMPLEMENTED',
      'the agent answers UNAVAILABLE',
      'the agent answers PERMISSION_DENIED',
    ]);
    const keys = streams.map((stream) => stream.bundles(1000).jwtKeys('prod.example'));
    expect(keys.map((one) => 'code' in one && one.code)).to.deep.equal(
      Array(4).fill('bundle_unavailable'),
    );
  });
});
