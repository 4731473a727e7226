import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { trackConnections } from '../../src/server/http2-connections.js';
import { clientPreface, errorCode, frame, frameType } from '../../src/server/http2-frames.js';

/** What h2spec leaves out: bounds that keep one client from costing more than its share. */
describe('an HTTP/2 connection', () => {
  let server: Server;
  let answered = 0;
  const sockets = new Set<Socket>();

  beforeEach(async () => {
    answered = 0;
    const connections = trackConnections({
      maxMessageBytes: 1024 * 1024,
      maxConcurrentStreams: 3,
      begin: () => true,
      answer(stream) {
        answered += 1;
        if (stream.head.path === '/answered') {
          stream.sendAnswer(Buffer.of(0x88), Buffer.alloc(100_000), Buffer.of(0, 1, 97, 1, 98));
        }
      },
    });
    server = createServer((socket) => {
      if (connections.enter(socket)) connections.speak(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await new Promise((resolve) => server.close(resolve));
  });

  /** Sends bytes, and gives the frames that came back until the end, or a while without one. */
  const exchange = async (bytes: Uint8Array, ms = 200) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.add(socket);
    socket.on('error', () => {});
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    const closed = once(socket, 'close').then(() => true);
    socket.write(bytes);
    const quiet = new Promise<false>((resolve) => setTimeout(resolve, ms, false));
    const isClosed = await Promise.race([closed, quiet]);
    return { isClosed, frames: framesOf(Buffer.concat(chunks)) };
  };
  const settings = frame(frameType.settings, 0, 0, Buffer.alloc(0));
  const greeting = Buffer.concat([clientPreface, settings]);
  // :method POST, :scheme http, :path and an :authority.
  const head = (path: string) =>
    Buffer.concat([
      Buffer.of(0x83, 0x86, 0x44, path.length),
      Buffer.from(path),
      Buffer.of(0x41, 1, 120),
    ]);
  const headers = (stream: number, flags: number, path = '/x') =>
    frame(frameType.headers, flags, stream, head(path));
  const goaway = (code: number) => ({ type: frameType.goaway, stream: 0, code });
  const reset = (stream: number, code: number) => ({ type: frameType.rstStream, stream, code });

  const floods = [
    {
      name: 'CONTINUATION frames without an end',
      given: [
        headers(1, 0),
        ...Array.from({ length: 40 }, () => frame(frameType.continuation, 0, 1, Buffer.alloc(0))),
      ],
      want: goaway(errorCode.enhanceYourCalm),
    },
    {
      name: 'a head without bound',
      given: [
        headers(1, 0),
        ...Array.from({ length: 5 }, () =>
          frame(frameType.continuation, 0, 1, Buffer.alloc(16_000)),
        ),
      ],
      want: goaway(errorCode.enhanceYourCalm),
    },
    {
      name: 'a head of few bytes that stands for many',
      given: [
        frame(
          frameType.headers,
          4,
          1,
          Buffer.concat([
            Buffer.from('4001617fa11e', 'hex'),
            Buffer.alloc(4000, 'x'),
            Buffer.alloc(1000, 0xbe),
          ]),
        ),
      ],
      want: goaway(errorCode.compression),
    },
    {
      name: 'a frame longer than any is',
      given: [frame(frameType.data, 0, 1, Buffer.alloc(16_385))],
      want: goaway(errorCode.frameSize),
    },
  ];
  for (const { name, given, want } of floods) {
    it(`ends at ${name}`, async () => {
      const { frames, isClosed } = await exchange(Buffer.concat([greeting, ...given]));
      expect(frames.at(-1)).to.deep.equal(want);
      expect(isClosed).to.equal(true);
      expect(answered).to.equal(0);
    });
  }

  it('refuses a call above the number that may be open, unprocessed, and goes on', async () => {
    const calls = [1, 3, 5, 7].map((stream) => headers(stream, 5));
    const { frames, isClosed } = await exchange(Buffer.concat([greeting, ...calls]));
    expect(frames).to.deep.include(reset(7, errorCode.refusedStream));
    expect({ isClosed, answered }).to.deep.equal({ isClosed: false, answered: 3 });
  });

  it('opens its windows again for a body that it has read', async () => {
    const body = Array.from({ length: 70 }, () =>
      frame(frameType.data, 0, 1, Buffer.alloc(16_000)),
    );
    const open = [headers(1, 4), ...body];
    const { frames } = await exchange(Buffer.concat([greeting, ...open]), 400);
    expect(frames.filter(({ type }) => type === frameType.windowUpdate).length).to.be.greaterThan(
      1,
    );
  });

  it('sends no more than its peer takes', async () => {
    const call = headers(1, 5, '/answered');
    const { frames } = await exchange(Buffer.concat([greeting, call]));
    const data = frames.filter(({ type }) => type === frameType.data);
    expect(data.reduce((sum, { length = 0 }) => sum + length, 0)).to.equal(65_535);
  });

  it('stops to read a peer that does not read its answers', async () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.add(socket);
    socket.on('error', () => {});
    socket.pause();
    socket.write(greeting);
    const ping = frame(frameType.ping, 0, 0, Buffer.alloc(8));
    const many = Buffer.concat(Array.from({ length: 4096 }, () => ping));
    let written = 0;
    while (written < 64 * 1024 * 1024 && socket.write(many)) written += many.length;
    for (let turn = 0; turn < 20 && socket.writableLength < 32 * 1024 * 1024; turn += 1) {
      socket.write(Buffer.concat(Array.from({ length: 32 }, () => many)));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(socket.writableLength, 'bytes that nobody read').to.be.greaterThan(8 * 1024 * 1024);
    const other = await exchange(Buffer.concat([greeting, ping]));
    expect(other.frames.some(({ type }) => type === frameType.ping)).to.equal(true);
  });

  it('ends or goes on at any frames, and answers the next client', async () => {
    const anyFrame = fc
      .tuple(
        fc.nat(11),
        fc.nat(255),
        fc.constantFrom(0, 1, 2, 3, 5, 9),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));
    const runs = fc.sample(fc.array(anyFrame, { maxLength: 12 }), { seed: 9113, numRuns: 400 });
    await Promise.all(
      runs.map((frames) => exchange(Buffer.concat([greeting, headers(1, 4), ...frames]), 50)),
    );
    const { frames } = await exchange(Buffer.concat([greeting, headers(1, 5, '/answered')]), 2000);
    expect(frames.some(({ type }) => type === frameType.data)).to.equal(true);
  });
});

interface Seen {
  readonly type: number;
  readonly stream: number;
  readonly code?: number;
  readonly length?: number;
}

function framesOf(bytes: Buffer): readonly Seen[] {
  const seen: Seen[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const type = bytes[at + 3] ?? 0;
    const stream = bytes.readUInt32BE(at + 5);
    const payload = bytes.subarray(at + 9, at + 9 + length);
    if (type === frameType.goaway) seen.push({ type, stream, code: payload.readUInt32BE(4) });
    else if (type === frameType.rstStream)
      seen.push({ type, stream, code: payload.readUInt32BE(0) });
    else seen.push({ type, stream, length });
    at += 9 + length;
  }
  return seen;
}
