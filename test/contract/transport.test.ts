import { once } from 'node:events';
import { type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { expect } from 'chai';
import { afterEach, describe, it } from 'mocha';
import { type CheckHandler, healthCheckPath, healthWatchPath } from '../../src/server/listener.js';
import {
  bothServers,
  connectRaw,
  echo,
  framed,
  grpcHead,
  lastResort,
  maxMessageBytes,
  type RawConnection,
} from './both-servers.js';

const closed = (stream: ClientHttp2Stream) =>
  new Promise((resolve) => stream.once('close', resolve));
const message = framed(Uint8Array.of(7, 8, 9));
const ok = { httpStatus: 200, grpcStatus: '0' };
const unimplemented = { httpStatus: 200, grpcStatus: '12', body: [] };

for (const { name, startServer } of bothServers) {
  describe(`${name}, to a client of plain HTTP/2`, () => {
    let raw: RawConnection;
    const start = async (handle: CheckHandler = echo) => {
      raw = await connectRaw(startServer, handle);
    };
    afterEach(() => raw.close());

    const calls = [
      {
        name: 'reads a message that comes in one frame',
        given: [message],
        want: { ...ok, body: [...message] },
      },
      {
        name: 'reads a message whose every byte is a frame',
        given: [...message].map((byte) => Uint8Array.of(byte)),
        want: { ...ok, body: [...message] },
      },
      {
        name: 'reads a message that is cut within its prefix',
        given: [message.subarray(0, 3), message.subarray(3)],
        want: { ...ok, body: [...message] },
      },
      {
        name: 'answers an empty message, whose echo would be an allow, with the last resort',
        given: [framed(new Uint8Array(0))],
        want: { ...ok, body: [...framed(lastResort)] },
      },
      { name: 'refuses a call without a message (row 37)', given: [], want: unimplemented },
      {
        name: 'refuses a second message (row 37)',
        given: [Buffer.concat([message, message])],
        want: unimplemented,
      },
      {
        name: 'refuses a message in a compression it does not have (row 37)',
        given: [framed(Uint8Array.of(7), 1)],
        head: { 'grpc-encoding': 'snappy' },
        want: unimplemented,
      },
      {
        name: 'knows no v2 service (row 37)',
        given: [message],
        head: { ':path': '/envoy.service.auth.v2.Authorization/Check' },
        want: unimplemented,
      },
      {
        name: 'knows no other method (row 37)',
        given: [message],
        head: { ':path': '/envoy.service.auth.v3.Authorization/Chec' },
        want: unimplemented,
      },
      {
        name: 'takes a content type that names the encoding',
        given: [message],
        head: { 'content-type': 'application/grpc+proto' },
        want: { ...ok, body: [...message] },
      },
    ];
    for (const { name: sentence, given, head, want } of calls) {
      it(sentence, async () => {
        await start();
        expect(await raw.call(given, head)).to.deep.equal(want);
        expect(await raw.call([message]), 'and goes on').to.deep.include(ok);
      });
    }

    const strangers = ['text/plain', 'application/json', ''];
    for (const type of strangers) {
      it(`refuses the content type '${type}' with 415 (row 37)`, async () => {
        await start();
        const { httpStatus, body } = await raw.call([message], { 'content-type': type });
        expect({ httpStatus, body }).to.deep.equal({ httpStatus: 415, body: [] });
      });
    }

    it('gives no answer to a message that ends early', async () => {
      await start();
      const { grpcStatus, body } = await raw.call([message.subarray(0, 6)]);
      expect(body).to.deep.equal([]);
      expect(grpcStatus).to.not.equal('0');
    });

    it('answers a message above its limit with the last resort, and reads none of it', async () => {
      let asked = 0;
      await start(async (bytes) => {
        asked += 1;
        return bytes;
      });
      const answer = await raw.call([framed(new Uint8Array(maxMessageBytes + 1))]);
      expect(answer).to.deep.equal({ ...ok, body: [...framed(lastResort)] });
      expect(asked).to.equal(0);
    });

    it('tells the handler how long its caller waits', async () => {
      const told: (number | undefined)[] = [];
      await start(async (bytes, timeoutMs) => {
        told.push(timeoutMs);
        return bytes;
      });
      await raw.call([message]);
      await raw.call([message], { 'grpc-timeout': '20S' });
      const [none, left = 0] = told;
      expect(none).to.equal(undefined);
      expect(left).to.be.within(1, 20_000);
    });

    it('is not troubled by callers that reset their calls at any point (row 125)', async () => {
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      await start(async (bytes) => {
        if (bytes.length > 3) await released;
        return bytes;
      });
      const slow = framed(Uint8Array.of(1, 2, 3, 4));
      const reset = async (sent: Buffer, code: number) => {
        const stream = raw.session.request(grpcHead);
        stream.on('error', () => {});
        stream.write(sent);
        await new Promise((resolve) => setImmediate(resolve));
        stream.close(code);
        await closed(stream);
      };
      const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR } = constants;
      for (const sent of [slow, slow.subarray(0, 2), slow.subarray(0, 7)]) {
        for (let time = 0; time < 20; time += 1) {
          await reset(sent, time % 2 === 0 ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
        }
      }
      const abandoned = raw.session.request(grpcHead);
      abandoned.on('error', () => {});
      abandoned.end(slow);
      await new Promise((resolve) => setTimeout(resolve, 20));
      abandoned.close(NGHTTP2_CANCEL);
      await closed(abandoned);
      release();
      expect(await raw.call([message])).to.deep.equal({ ...ok, body: [...message] });
    });

    it('answers others while one caller does not read, and that one once it does', async () => {
      const long = new Uint8Array(300_000).fill(5);
      await start(async (bytes) => (bytes.length === 1 ? long : bytes));
      const slow = raw.session.request(grpcHead);
      slow.end(framed(Uint8Array.of(1)));
      await once(slow, 'response');
      slow.pause();
      for (let time = 0; time < 50; time += 1) {
        expect(await raw.call([message])).to.deep.include(ok);
      }
      let received = 0;
      slow.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      slow.resume();
      await once(slow, 'end');
      expect(received).to.equal(5 + long.length);
    });

    it('answers a thousand calls that are open at once (row 127)', async () => {
      const waiting: (() => void)[] = [];
      await start(async (bytes) => {
        await new Promise<void>((resolve) => {
          waiting.push(resolve);
          if (waiting.length === 1000) for (const go of waiting) go();
        });
        return bytes;
      });
      const answers = await Promise.all(
        Array.from({ length: 1000 }, (_, at) => raw.call([framed(Uint8Array.of(at & 255))])),
      );
      const echoed = answers.map(({ body }) => body[5]);
      expect(echoed).to.deep.equal(answers.map((_, at) => at & 255));
    });

    it('survives connections that send garbage, HTTP/1, or nothing', async () => {
      await start();
      const first = ['\0\0\0\xff\xff\xff', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', ''];
      const flood = Array.from({ length: 150 }, (_, at) => {
        const socket = connectSocket(raw.port, '127.0.0.1');
        socket.on('error', () => {});
        socket.on('connect', () => socket.write(first[at % first.length] ?? ''));
        return socket;
      });
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await raw.call([message])).to.deep.include(ok);
      for (const socket of flood) socket.destroy();
      expect(await raw.call([message])).to.deep.include(ok);
    });

    it('says GOAWAY when it stops, finishes what is open, and takes no new connection', async () => {
      let release = () => {};
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      let isAsked = () => {};
      const asked = new Promise<void>((resolve) => {
        isAsked = resolve;
      });
      await start(async (bytes) => {
        isAsked();
        await released;
        return bytes;
      });
      const answer = raw.call([message]);
      await asked;
      const goaway = once(raw.session, 'goaway');
      const stopped = raw.listener.stop(5_000);
      expect((await goaway)[0]).to.equal(constants.NGHTTP2_NO_ERROR);
      const late = connect(`http://127.0.0.1:${raw.port}`);
      const [refused] = await once(late, 'error').catch((error: unknown) => [error]);
      expect(refused).to.be.instanceOf(Error);
      release();
      expect(await answer).to.deep.equal({ ...ok, body: [...message] });
      await stopped;
    });

    it('cuts off what is still open after the time of grace', async () => {
      await start(() => new Promise(() => {}));
      const answer = raw.call([message]);
      await new Promise((resolve) => setTimeout(resolve, 20));
      await raw.listener.stop(50);
      expect((await answer).grpcStatus).to.not.equal('0');
    });

    const named = (service: string) =>
      framed(Uint8Array.of(0x0a, service.length, ...Buffer.from(service)));
    const serving = (status: number) => [...framed(Uint8Array.of(8, status))];

    it('refuses a HealthCheckRequest that is none', async () => {
      await start();
      const answer = await raw.call([framed(Uint8Array.of(0xff))], { ':path': healthCheckPath });
      expect(answer).to.deep.equal({ httpStatus: 200, grpcStatus: '3', body: [] });
    });

    const watched = [
      { name: 'the server', service: '', want: [2, 1, 2] },
      { name: 'its service', service: 'envoy.service.auth.v3.Authorization', want: [2, 1, 2] },
      { name: 'a service it does not have', service: 'other', want: [3] },
    ];
    for (const { name: what, service, want } of watched) {
      it(`tells a Watch of ${what} the status and each change, until it stops (row 135)`, async () => {
        await start();
        const watch = raw.call([named(service)], { ':path': healthWatchPath });
        await new Promise((resolve) => setTimeout(resolve, 50));
        raw.listener.setServing(true);
        raw.listener.setServing(true);
        raw.listener.setServing(false);
        await new Promise((resolve) => setTimeout(resolve, 50));
        await raw.listener.stop(5_000);
        const { grpcStatus, body } = await watch;
        expect(body).to.deep.equal(want.flatMap(serving));
        expect(grpcStatus).to.equal('14');
      });
    }
  });
}
