import { createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { Target } from '../../bench/connection.js';
import { closedLoop, openLoop } from '../../bench/load.js';
import { verdictOf } from '../../bench/verdict.js';
import { encodeCheckResponse } from '../../src/wire/external-auth.js';

const headers = [{ key: 'x-countersign-rule', value: 'a-rule' }];
const dynamicMetadata = { code: 'permitted' };
const permit = encodeCheckResponse({
  kind: 'ok',
  headers,
  headersToRemove: ['x-countersign-approval'],
  dynamicMetadata,
});
const deny = encodeCheckResponse({
  kind: 'denied',
  status: 7,
  httpStatus: 403,
  headers,
  body: '{"code":"no_rule"}',
  dynamicMetadata,
});

const answers: readonly { name: string; bytes: Uint8Array; want: string }[] = [
  { name: 'a permit of ours', bytes: permit, want: 'permit' },
  { name: 'the constant of the floor', bytes: Uint8Array.of(0x0a, 0, 0x1a, 0), want: 'permit' },
  { name: 'a deny of ours', bytes: deny, want: 'deny' },
  { name: 'an empty answer, which Envoy allows', bytes: Uint8Array.of(), want: 'wrong' },
  { name: 'a status 0 alone', bytes: Uint8Array.of(0x0a, 0), want: 'wrong' },
  { name: 'ok_response alone', bytes: Uint8Array.of(0x1a, 0), want: 'wrong' },
  { name: 'a status 7 alone', bytes: Uint8Array.of(0x0a, 2, 8, 7), want: 'wrong' },
  { name: 'status 0 with denied_response', bytes: Uint8Array.of(0x0a, 0, 0x12, 0), want: 'wrong' },
  {
    name: 'status 7 with ok_response',
    bytes: Uint8Array.of(0x0a, 2, 8, 7, 0x1a, 0),
    want: 'wrong',
  },
  { name: 'both responses', bytes: Uint8Array.of(0x0a, 0, 0x12, 0, 0x1a, 0), want: 'wrong' },
  { name: 'error_response', bytes: Uint8Array.of(0x0a, 0, 0x2a, 0), want: 'wrong' },
  { name: 'an answer cut in the middle', bytes: permit.subarray(0, 20), want: 'wrong' },
];

describe('the load generator reads an answer', () => {
  for (const { name, bytes, want } of answers) {
    it(`${name}: ${want}`, () => {
      expect(verdictOf(bytes, 0, bytes.length)).to.equal(want);
    });
  }
});

const framed = (message: Uint8Array) => {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
};

interface Behaviour {
  readonly head?: Readonly<Record<string, string>>;
  readonly message?: Uint8Array;
  readonly pieces?: number;
  readonly grpcStatus?: string;
}

/** A gRPC server over node:http2 that keeps to the behaviour, and the bodies it was asked with. */
async function serve({ head = {}, message = permit, pieces = 1, grpcStatus = '0' }: Behaviour) {
  const asked: string[] = [];
  const server: Http2Server = createServer();
  server.on('stream', (stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('end', () => {
      asked.push(Buffer.concat(chunks).toString('latin1'));
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', ...head },
        { waitForTrailers: true },
      );
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': grpcStatus }));
      const whole = framed(message);
      const size = Math.ceil(whole.length / pieces);
      for (let at = 0; at < whole.length; at += size) stream.write(whole.subarray(at, at + size));
      stream.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, asked, close: () => server.close() };
}

const head: Target['head'] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/a.B/C'],
  [':authority', 'a.test'],
  ['te', 'trailers'],
];
const question = {
  body: framed(Buffer.from('number @@@@@@@@, twice @@@@@@@@')),
  stamps: [12, 28],
  want: 'permit' as const,
};

async function ask(behaviour: Behaviour, { maxCount = 200, ms = 10_000 } = {}) {
  const server = await serve(behaviour);
  const { port, asked } = server;
  try {
    const counted = await closedLoop({
      target: {
        address: { port },
        head,
        answers: 'grpc',
      },
      questions: { list: [question], isOnce: false },
      connections: 2,
      concurrency: 16,
      ms,
      maxCount,
    });
    return { counted, asked };
  } catch (error) {
    return { error };
  } finally {
    server.close();
  }
}

describe('the load generator', () => {
  const good: readonly { name: string; behaviour: Behaviour }[] = [
    { name: 'a message in one frame', behaviour: {} },
    { name: 'a message in seven frames', behaviour: { pieces: 7 } },
    {
      name: 'heads of every printable character',
      behaviour: {
        head: {
          'x-text':
            ' !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~'.trim(),
        },
      },
    },
    { name: 'a head longer than the table', behaviour: { head: { 'x-long': 'a1'.repeat(3000) } } },
  ];
  for (const { name, behaviour } of good) {
    it(`reads ${name}, and counts`, async () => {
      const { counted } = await ask(behaviour);
      expect(counted).to.deep.include({ count: 200, permits: 200, denies: 0 });
    });
  }

  it('ends at once where no time is left', async () => {
    const { counted } = await ask({}, { ms: 0 });
    expect(counted).to.deep.include({ count: 0 });
  });

  it('sends no request twice', async () => {
    const { asked = [] } = await ask({});
    expect(asked[0]).to.match(/number \d{8}, twice \d{8}$/);
    // Each of the two connections counts for itself.
    expect(new Set(asked).size).to.be.at.least(100);
  });

  const bad: readonly { name: string; behaviour: Behaviour; why: RegExp }[] = [
    {
      name: 'a deny where a permit is right',
      behaviour: { message: deny },
      why: /^deny where permit is right, the run is void: .*no_rule/,
    },
    {
      name: 'an empty answer',
      behaviour: { message: new Uint8Array(0) },
      why: /^wrong where permit is right, the run is void/,
    },
    { name: 'a failed call', behaviour: { grpcStatus: '14' }, why: /^the call failed: .*"14"/ },
  ];
  for (const { name, behaviour, why } of bad) {
    it(`gives no figure after ${name}`, async () => {
      const { counted, error } = await ask(behaviour);
      expect(counted).to.equal(undefined);
      expect(error).to.be.instanceOf(Error).with.property('message').that.matches(why);
    });
  }

  it('asks in an open loop as often as it was told', async () => {
    const server = await serve({});
    try {
      const timed = await openLoop({
        target: {
          address: { port: server.port },
          head,
          answers: 'grpc',
        },
        questions: { list: [question], isOnce: false },
        connections: 1,
        perSecond: 200,
        seconds: 0.5,
      });
      expect(timed.count).to.equal(100);
      expect([...timed.latenciesMs].every((ms) => ms > 0)).to.equal(true);
    } finally {
      server.close();
    }
  });
});
