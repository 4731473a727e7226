import { connect } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { HpackDecoder } from '../../src/server/hpack-decoder.js';
import type { HeaderField } from '../../src/server/hpack-tables.js';
import { FrameReader } from '../../src/server/http2-frame-reader.js';
import { frame, frameType, settingsFrame } from '../../src/server/http2-frames.js';

const hex = (text: string) => Buffer.from(text.replace(/ /g, ''), 'hex');
const maxBytes = 64 * 1024;

/** The requests of RFC 7541, Appendix C.3 and C.4: the same three, plain and Huffman-coded. */
const first: readonly HeaderField[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'www.example.com'],
];
const second = [...first, ['cache-control', 'no-cache']];
const third = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/index.html'],
  [':authority', 'www.example.com'],
  ['custom-key', 'custom-value'],
];
const series = [
  {
    name: 'C.3, without Huffman coding',
    blocks: [
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
  },
  {
    name: 'C.4, with Huffman coding',
    blocks: [
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  },
];

describe('header blocks (RFC 7541)', () => {
  for (const { name, blocks } of series) {
    it(`are read as in Appendix ${name}`, () => {
      const decoder = new HpackDecoder(maxBytes);
      const read = blocks.map((block) => decoder.decode(hex(block)));
      expect(read).to.deep.equal([first, second, third]);
    });
  }

  it('say the same again when they are sent again', () => {
    const decoder = new HpackDecoder(maxBytes);
    const block = hex('8286 8400 0161 0162');
    const fields = decoder.decode(block);
    expect(decoder.decode(Buffer.from(block))).to.equal(fields);
    expect(fields).to.deep.equal([...first.slice(0, 3), ['a', 'b']]);
  });

  it('are not taken for the same once the table has changed between them', () => {
    const decoder = new HpackDecoder(maxBytes);
    const insert = (value: string) => Buffer.from([0x40, 1, 0x61, 1, ...Buffer.from(value)]);
    decoder.decode(insert('1'));
    expect(decoder.decode(hex('be'))).to.deep.equal([['a', '1']]);
    decoder.decode(insert('2'));
    expect(decoder.decode(hex('be'))).to.deep.equal([['a', '2']]);
  });

  const refused = [
    { name: 'an index of 0', given: '80' },
    { name: 'an index beyond both tables', given: 'be' },
    { name: 'a name by an index beyond both tables', given: '7f 00 01 61' },
    { name: 'a literal that ends early', given: '00 05 61 62' },
    { name: 'a literal without its value', given: '00 01 61' },
    { name: 'an integer that does not end', given: '7f ff ff ff' },
    { name: 'an integer beyond all sense', given: '7f ff ff ff ff ff ff ff ff ff 01' },
    { name: 'a table larger than was allowed', given: '3f e2 1f' },
    { name: 'a change of the table behind a field', given: '82 20' },
    { name: 'Huffman padding that is not all ones', given: '00 81 18 01 62' },
    { name: 'Huffman padding of a whole byte', given: '00 82 1f ff 01 62' },
    { name: 'the Huffman code of EOS', given: '00 84 ff ff ff ff 01 62' },
  ];
  for (const { name, given } of refused) {
    it(`are refused with ${name}`, () => {
      expect(new HpackDecoder(maxBytes).decode(hex(given))).to.equal(undefined);
    });
  }

  it('are refused when a few bytes stand for many: the same long entry again and again', () => {
    const decoder = new HpackDecoder(maxBytes);
    const long = Buffer.concat([hex('40 01 61 7f a1 1e'), Buffer.alloc(4000, 'x')]);
    expect(decoder.decode(long)?.[0]?.[1]).to.have.lengthOf(4000);
    expect(decoder.decode(Buffer.alloc(10, 0xbe))).to.have.lengthOf(10);
    expect(decoder.decode(Buffer.alloc(1000, 0xbe))).to.equal(undefined);
  });

  it('end in fields or a refusal for any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HpackDecoder(maxBytes);
        for (const block of blocks) {
          const fields = decoder.decode(Buffer.from(block));
          if (fields === undefined) return;
          expect(fields.flat().every((part) => typeof part === 'string')).to.equal(true);
        }
      }),
      { seed: 7541, numRuns: 3000 },
    );
  });

  it('of an independent encoder (nghttp2 in Node) are read as they were meant', async () => {
    const name = fc.stringMatching(/^[a-z0-9-]{1,12}$/).map((text) => `x-${text}`);
    const value = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
    const heads = fc.sample(fc.dictionary(name, value, { maxKeys: 6 }), { seed: 3, numRuns: 300 });
    const read = await headersReceived(heads);
    expect(read).to.deep.equal(heads.map((head) => Object.entries(head).sort()));
  });
});

/** Sends a request for each head with Node's client, and gives the x- fields that arrive. */
async function headersReceived(
  heads: readonly Readonly<Record<string, string>>[],
): Promise<readonly HeaderField[][]> {
  const received: HeaderField[][] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const decoder = new HpackDecoder(maxBytes);
    const ignore = () => {};
    const reader = new FrameReader({
      headers(stream, block) {
        const fields = decoder.decode(block) ?? [];
        received.push([...fields.filter(([field]) => field.startsWith('x-'))].sort());
        socket.write(frame(frameType.headers, 5, stream, Buffer.of(0x88)));
      },
      data: ignore,
      settings: () => socket.write(frame(frameType.settings, 1, 0, Buffer.alloc(0))),
      ping: ignore,
      windowUpdate: ignore,
      reset: ignore,
      streamFault: ignore,
    });
    socket.write(settingsFrame([]));
    socket.on('error', ignore);
    socket.on('data', (chunk: Buffer) => reader.read(chunk));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  session.on('error', () => {});
  for (const head of heads) {
    const stream = session.request({ ':path': '/', ...head }, { endStream: true });
    stream.resume();
    await new Promise((resolve) => stream.once('close', resolve));
  }
  session.destroy();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  return received;
}
