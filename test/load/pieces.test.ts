import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { type Piece, PieceJoiner, toPieces } from '../../src/load/pieces.js';

/** As another thread would receive it: each piece is a message of its own. */
function send(value: object): { readonly value: unknown; readonly pieces: readonly Piece[] } {
  const joiner = new PieceJoiner();
  const pieces = [...toPieces(value)].map((piece) => structuredClone(piece));
  for (const piece of pieces) joiner.take(piece);
  return { value: joiner.value, pieces };
}

const many = <T>(make: (at: number) => T) => Array.from({ length: 10_000 }, (_, at) => make(at));
const leaf = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.boolean(),
  fc.constant(null),
  fc.constant(undefined),
);
const { value: anything } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'large', maxDepth: 5 },
    leaf,
    fc.array(tie('value'), { maxLength: 30 }),
    fc.dictionary(fc.string({ minLength: 1 }), tie('value'), {
      maxKeys: 30,
      noNullPrototype: true,
    }),
    fc.array(fc.tuple(fc.string(), tie('value')), { maxLength: 30 }).map((all) => new Map(all)),
    fc.array(fc.string(), { maxLength: 30 }).map((all) => new Set(all)),
  ),
}));

describe('a value in pieces', () => {
  const rows: readonly { readonly name: string; readonly given: object }[] = [
    { name: 'nothing', given: {} },
    { name: 'a long list', given: many((at) => ({ id: `r${at}`, paths: [`/a/${at}`] })) },
    {
      name: 'a large mapping',
      given: Object.fromEntries(many((at) => [`svc-${at}`, { status: 'active', at }])),
    },
    {
      name: 'a large map and set',
      given: { map: new Map(many((at) => [`${at}`, at])), set: new Set(many(String)) },
    },
    {
      name: 'a large list deep inside, between small members',
      given: { a: 1, b: { c: [{ d: many((at) => [at, `${at}`]), e: undefined }] }, f: 'last' },
    },
    { name: 'long texts', given: many((at) => `${at}`.repeat(100)) },
  ];
  for (const { name, given } of rows) {
    it(`is the same when it is put together: ${name}`, () => {
      expect(send(given).value).to.deep.equal(given);
    });
    it(`has no piece that is large: ${name}`, () => {
      const sizes = send(given).pieces.map((piece) => JSON.stringify(piece).length);
      expect(Math.max(...sizes)).to.be.below(60_000);
    });
  }

  it('is the same for any value, members in their order', () => {
    let pieces = 0;
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ minLength: 1 }), anything, {
          maxKeys: 40,
          noNullPrototype: true,
        }),
        (given) => {
          const sent = send(given);
          expect(sent.value).to.deep.equal(given);
          expect(Object.keys(sent.value as object)).to.deep.equal(Object.keys(given));
          pieces = Math.max(pieces, sent.pieces.length);
        },
      ),
      { seed: 20261124, numRuns: 50 },
    );
    expect(pieces, 'some are large').to.be.greaterThan(5);
  });
});
