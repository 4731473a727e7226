import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import protobuf from 'protobufjs';
import { decodeCheckRequest, encodeCheckRequest } from '../../src/wire/external-auth.js';
import { decodeHealthRequest } from '../../src/wire/health.js';
import { checkRequest } from '../support/check-request.js';

const good = encodeCheckRequest(
  checkRequest({ method: 'POST', path: '/a?b', headers: { a: '1' }, rawBody: 'body' }),
);

/** Wraps bytes in length-delimited fields, the innermost first. */
function nest(inner: Uint8Array, fields: readonly number[]): Uint8Array {
  return fields.reduce((bytes, field) => {
    const tag = 8 * field + 2;
    return protobuf.Writer.create().uint32(tag).bytes(bytes).finish();
  }, inner);
}

describe('decoding a CheckRequest', () => {
  it('gives a value or a refusal for any bytes, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(decodeCheckRequest(bytes).ok).to.be.a('boolean');
        expect(decodeHealthRequest(bytes).ok).to.be.a('boolean');
      }),
      { seed: 7, numRuns: 3000 },
    );
  });

  it('refuses or reads a good message cut at every byte', () => {
    for (let length = 0; length < good.length; length += 1) {
      expect(decodeCheckRequest(good.subarray(0, length)).ok).to.be.a('boolean');
    }
  });

  it('refuses or reads a good message with any one bit turned', () => {
    for (let bit = 0; bit < good.length * 8; bit += 1) {
      const turned = Uint8Array.from(good);
      turned[bit >> 3] = (turned[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeCheckRequest(turned).ok).to.be.a('boolean');
    }
  });

  it('reads no bytes as a message without attributes (row 21)', () => {
    expect(decodeCheckRequest(new Uint8Array(0))).to.deep.equal({
      ok: true,
      value: { attributes: undefined },
    });
  });

  it('refuses invalid UTF-8 in a string', () => {
    const path = nest(Uint8Array.of(0xc0, 0xaf), [4]);
    expect(decodeCheckRequest(nest(path, [2, 4, 1])).ok).to.equal(false);
  });

  it('refuses a Struct that is nested 5,000 deep (row 25)', () => {
    const fields: number[] = [];
    for (let depth = 0; depth < 5000; depth += 1) fields.push(2, 1, 5);
    const value = nest(new Uint8Array(0), fields);
    const entry = nest(value, [2]);
    expect(decodeCheckRequest(nest(entry, [1, 2, 1, 11, 1])).ok).to.equal(false);
  });

  it('refuses a submessage that is given twice (row 29)', () => {
    const twice = Uint8Array.from([...good, ...good]);
    expect(decodeCheckRequest(twice)).to.deep.equal({
      ok: false,
      reason: 'a submessage is given twice',
    });
  });

  it('keeps a header named __proto__ like any other (row 31)', () => {
    const bytes = encodeCheckRequest(
      checkRequest({ headers: { ['__proto__']: 'x', constructor: 'y' } }),
    );
    const decoded = decodeCheckRequest(bytes);
    const headers = decoded.ok ? decoded.value.attributes?.request?.http?.headers : undefined;
    expect([...(headers ?? [])]).to.deep.include.members([['constructor', 'y']]);
  });

  it('refuses more than a thousand headers', () => {
    const headers = Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [`h${at}`, '']));
    expect(decodeCheckRequest(encodeCheckRequest(checkRequest({ headers }))).ok).to.equal(false);
  });

  it('skips fields that it does not know (row 26)', () => {
    const unknown = nest(Uint8Array.of(1, 2, 3), [99]);
    expect(decodeCheckRequest(Uint8Array.from([...good, ...unknown])).ok).to.equal(true);
  });
});
