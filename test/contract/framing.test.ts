import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { frameMessage, MessageCollector } from '../../src/server/grpc-message.js';
import { parseGrpcTimeout } from '../../src/server/grpc-timeout.js';

describe('collecting a message from DATA frames', () => {
  const collect = (body: Uint8Array, cuts: readonly number[], maxBytes = 100) => {
    const collector = new MessageCollector(maxBytes);
    const at = [0, ...cuts.map((cut) => Math.min(cut, body.length)).sort((a, b) => a - b)];
    for (const [index, from] of at.entries()) {
      collector.add(Buffer.from(body.subarray(from, at[index + 1])));
    }
    return collector.end();
  };
  const cuts = fc.array(fc.nat(120), { maxLength: 8 });
  const runs = { seed: 37, numRuns: 1000 };

  it('gives back what was framed, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), cuts, (message, places) => {
        const read = collect(frameMessage(message), places);
        const bytes = read.kind === 'message' ? [...read.bytes] : read.kind;
        expect(bytes).to.deep.equal([...message]);
      }),
      runs,
    );
  });

  it('ends in one of three outcomes for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), cuts, (body, places) => {
        expect(collect(body, places).kind).to.be.oneOf(['message', 'too-long', 'failure']);
      }),
      runs,
    );
  });

  const limits = [
    { name: 'takes a message of just its limit', length: 100, want: 'message' },
    { name: 'knows one that is a byte longer as too long', length: 101, want: 'too-long' },
    { name: 'knows one that is far longer as too long', length: 10_000, want: 'too-long' },
  ];
  for (const { name, length, want } of limits) {
    it(name, () => {
      expect(collect(frameMessage(new Uint8Array(length)), [50, 90]).kind).to.equal(want);
    });
  }
});

describe('the header grpc-timeout', () => {
  const rows = [
    { given: '1H', want: 3_600_000 },
    { given: '2M', want: 120_000 },
    { given: '3S', want: 3_000 },
    { given: '200m', want: 200 },
    { given: '5000u', want: 5 },
    { given: '1000000n', want: 1 },
    { given: '0m', want: 0 },
    { given: '99999999H', want: 99_999_999 * 3_600_000 },
    { given: '123456789m', want: undefined },
    { given: '', want: undefined },
    { given: '5', want: undefined },
    { given: 'm', want: undefined },
    { given: '-5m', want: undefined },
    { given: '1.5S', want: undefined },
    { given: '5s', want: undefined },
    { given: ' 5m', want: undefined },
    { given: undefined, want: undefined },
    { given: ['5m', '6m'], want: undefined },
  ];
  for (const { given, want } of rows) {
    it(`is ${want} ms when it says ${JSON.stringify(given) ?? 'nothing'}`, () => {
      const parsed = parseGrpcTimeout(given);
      expect(parsed === undefined ? undefined : Math.round(parsed)).to.equal(want);
    });
  }
});
