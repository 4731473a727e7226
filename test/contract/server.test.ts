import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { expect } from 'chai';
import { after, afterEach, describe, it } from 'mocha';
import { createAuthority } from '../../examples/quickstart/pki.js';
import { reserve } from '../../examples/quickstart/workplace.js';
import {
  type CheckHandler,
  checkPath,
  type Listener,
  type ServingAddress,
} from '../../src/server/listener.js';
import { bothServers, echo, lastResort, maxMessageBytes } from './both-servers.js';

const plain = (value: Uint8Array) => Buffer.from(value);

for (const { name, startServer } of bothServers)
  describe(name, () => {
    let listener: Listener | undefined;
    let client: Client | undefined;
    const folder = mkdtempSync(join(tmpdir(), 'countersign-socket-'));
    after(() => rmSync(folder, { recursive: true }));
    afterEach(async () => {
      client?.close();
      await listener?.stop(100);
      listener = undefined;
    });

    const start = async (handle: CheckHandler, address?: ServingAddress) => {
      const [port = 0] = await reserve(1);
      const options = { maxMessageBytes, lastResort, tls: undefined };
      const at = address ?? { kind: 'tcp', host: '127.0.0.1', port };
      listener = await startServer(handle, { ...options, address: at });
      const target = at.kind === 'unix' ? `unix:${at.path}` : `127.0.0.1:${port}`;
      client = new Client(target, credentials.createInsecure(), {
        'grpc.max_send_message_length': -1,
        'grpc.max_receive_message_length': -1,
      });
      return port;
    };
    const call = (bytes: Uint8Array, path = checkPath, deadlineMs = 5_000): Promise<Uint8Array> =>
      new Promise((resolve, reject) => {
        const options = { deadline: Date.now() + deadlineMs };
        client?.makeUnaryRequest(
          path,
          plain,
          (value: Buffer): Uint8Array => value,
          bytes,
          new Metadata(),
          options,
          (error, response) =>
            response === undefined ? reject(error ?? new Error('no answer')) : resolve(response),
        );
      });
    const statusOf = (promise: Promise<unknown>) =>
      promise.then(
        () => 0,
        (error: ServiceError) => error.code,
      );

    it('takes bytes and gives bytes, garbage included', async () => {
      await start(echo);
      const garbage = Uint8Array.of(0xff, 0xfe);
      expect([...(await call(garbage))]).to.deep.equal([...garbage]);
    });

    it('takes a message above 4 MiB up to its limit', async () => {
      await start(async (bytes) => Uint8Array.of(bytes.length >> 20));
      expect([...(await call(new Uint8Array(5 * 1024 * 1024)))]).to.deep.equal([5]);
    });

    const failing: readonly { name: string; given: CheckHandler }[] = [
      { name: 'rejects', given: () => Promise.reject(new Error('secret')) },
      {
        name: 'throws',
        given: () => {
          throw new Error('secret');
        },
      },
      { name: 'gives nothing, which would be an allow', given: async () => new Uint8Array(0) },
    ];
    for (const { name: fault, given } of failing) {
      it(`answers with the explicit deny it was given when the handler ${fault}`, async () => {
        await start(given);
        expect([...(await call(Uint8Array.of(1)))]).to.deep.equal([...lastResort]);
      });
    }

    it('goes on when a caller has not waited for its answer (row 124)', async () => {
      await start(async (bytes) => {
        await new Promise((resolve) => setTimeout(resolve, bytes.length === 1 ? 100 : 0));
        return bytes;
      });
      expect(await statusOf(call(Uint8Array.of(1), checkPath, 20))).to.equal(4);
      await new Promise((resolve) => setTimeout(resolve, 120));
      expect([...(await call(Uint8Array.of(1, 2)))]).to.deep.equal([1, 2]);
    });

    it('says over grpc.health.v1 whether it serves, and knows no other service (row 135)', async () => {
      await start(echo);
      const check = '/grpc.health.v1.Health/Check';
      const named = (name: string) => Uint8Array.of(0x0a, name.length, ...Buffer.from(name));
      expect([...(await call(new Uint8Array(0), check))]).to.deep.equal([8, 2]);
      listener?.setServing(true);
      expect([...(await call(new Uint8Array(0), check))]).to.deep.equal([8, 1]);
      const own = 'envoy.service.auth.v3.Authorization';
      expect([...(await call(named(own), check))]).to.deep.equal([8, 1]);
      expect(await statusOf(call(named('other'), check))).to.equal(5);
    });

    it('finishes what is in flight when it stops', async () => {
      await start(async (bytes) => {
        await new Promise((resolve) => setTimeout(resolve, 200));
        return bytes;
      });
      const answer = call(Uint8Array.of(7));
      await new Promise((resolve) => setTimeout(resolve, 50));
      const stopped = listener?.stop(2_000);
      expect([...(await answer)]).to.deep.equal([7]);
      await stopped;
    });

    it('speaks TLS, and only to callers of its authority where it has one', async () => {
      const authority = await createAuthority('prod.example');
      const server = await authority.issue({ dns: ['localhost'], ips: ['127.0.0.1'] });
      const own = await authority.issue({ uris: ['spiffe://prod.example/envoy'] });
      const [port = 0] = await reserve(1);
      const pem = (text: string) => Buffer.from(text);
      listener = await startServer(echo, {
        address: { kind: 'tcp', host: '127.0.0.1', port },
        maxMessageBytes: 1024,
        lastResort,
        tls: {
          certificatePem: pem(server.certificatePem),
          keyPem: pem(server.keyPem),
          clientCaPem: pem(authority.certificatePem),
        },
      });
      const ca = pem(authority.certificatePem);
      const known = credentials.createSsl(ca, pem(own.keyPem), pem(own.certificatePem));
      client = new Client(`localhost:${port}`, known);
      expect([...(await call(Uint8Array.of(4)))]).to.deep.equal([4]);
      client.close();
      client = new Client(`localhost:${port}`, credentials.createSsl(ca));
      expect(await statusOf(call(Uint8Array.of(4), checkPath, 2_000))).to.be.oneOf([4, 14]);
    });

    describe('on a unix socket', () => {
      const path = join(folder, 'authz.sock');
      const occupy = (at: string) =>
        new Promise<NetServer>((resolve) => {
          const server = createServer();
          server.listen(at, () => resolve(server));
        });

      it('is reachable for owner and group alone (row 134)', async () => {
        await start(echo, { kind: 'unix', path });
        expect(statSync(path).mode & 0o777).to.equal(0o660);
        expect([...(await call(Uint8Array.of(9)))]).to.deep.equal([9]);
      });

      it('replaces a stale socket (row 133)', async () => {
        const { spawnSync } = await import('node:child_process');
        const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
        spawnSync(process.execPath, ['-e', script]);
        expect(statSync(path).isSocket()).to.equal(true);
        await start(echo, { kind: 'unix', path });
        expect([...(await call(Uint8Array.of(9)))]).to.deep.equal([9]);
      });

      it('refuses a live one, and what is no socket (row 133)', async () => {
        const live = await occupy(join(folder, 'live.sock'));
        const refusal = async (at: string) =>
          start(echo, { kind: 'unix', path: at }).then(
            () => 'started',
            (error: Error) => error.message,
          );
        expect(await refusal(join(folder, 'live.sock'))).to.match(/in use by another process/);
        live.close();
        expect(await refusal(folder)).to.match(/is not a socket/);
      });
    });
  });
