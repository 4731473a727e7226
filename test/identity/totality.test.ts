import { expect } from 'chai';
import fc from 'fast-check';
import { before, describe, it } from 'mocha';
import { createAuthority } from '../../examples/quickstart/pki.js';
import { Refusal } from '../../src/errors.js';
import { readCredential } from '../../src/identity/credential.js';
import { createPeerReader } from '../../src/identity/peer.js';
import { parseSpiffeId } from '../../src/identity/spiffe-id.js';
import { parseCertificate } from '../../src/identity/x509-svid.js';
import { parseXfcc, readXfcc } from '../../src/identity/xfcc.js';
import { parseJwks } from '../../src/trust/jwks.js';
import {
  parseAuthorities,
  parseJwtBundle,
  parseSpiffeBundle,
} from '../../src/trust/spiffe-bundle.js';
import { decodeJwtBundles, decodeX509Bundles } from '../../src/wire/workload.js';
import { bundlesOf, requestOf } from './fixtures.js';

const id = 'spiffe://prod.example/ns/a/sa/bot';
const runs = { seed: 20261124, numRuns: 500 };
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        'URI=',
        'By=',
        'Hash=',
        '"',
        '\\',
        ',',
        ';',
        '=',
        ' ',
        id,
        'Bearer ',
        'DPoP ',
      ),
    )
    .map((parts) => parts.join('')),
);

describe('what reads credentials and keys', () => {
  it('gives a value or a refusal for any text', () => {
    fc.assert(
      fc.property(text, (given) => {
        for (const read of [
          () => parseSpiffeId(given),
          () => parseCertificate(given),
          () => parseXfcc(given),
          () => parseJwks(given, ['ES256']),
          () => parseSpiffeBundle(given),
          () => readCredential(new Map([['authorization', [given]]]), ['authorization']),
          () =>
            readXfcc(requestOf({ 'x-forwarded-client-cert': given }), new Set(['prod.example'])),
        ]) {
          expect(read).to.not.throw();
        }
      }),
      runs,
    );
  });

  it('gives a value or a refusal for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (given) => {
        for (const read of [
          decodeJwtBundles,
          decodeX509Bundles,
          parseJwtBundle,
          parseAuthorities,
        ]) {
          expect(() => read(given)).to.not.throw();
        }
      }),
      runs,
    );
  });
});

describe('a certificate with any one bit turned', () => {
  let leaf: Buffer;
  let authority: Buffer;
  before(async () => {
    const issuer = await createAuthority('prod.example');
    const { certificate } = await issuer.issue({ uris: [id], dns: ['a.example'] });
    leaf = Buffer.from(certificate.rawData);
    authority = Buffer.from(issuer.certificate.rawData);
  });

  it('is refused where a bundle is configured, in whichever byte it is', () => {
    const readPeer = createPeerReader({
      trustDomains: new Set(['prod.example']),
      certificate: 'required',
      xfcc: 'off',
      bundles: bundlesOf({}, { 'prod.example': [authority] }),
    });
    const ask = (der: Uint8Array) => {
      const pem = `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`;
      const peer = { principal: id, certificatePem: encodeURIComponent(pem) };
      return readPeer(requestOf({}, { peer }), Date.now());
    };
    expect(ask(leaf)).to.not.be.instanceOf(Refusal);
    const accepted: number[] = [];
    // One bit of each byte, and another one in each next byte.
    for (let bit = 0; bit < leaf.length * 8; bit += 9) {
      const turned = Buffer.from(leaf);
      turned.writeUInt8(turned.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      if (!(ask(turned) instanceof Refusal)) accepted.push(bit);
    }
    expect(accepted).to.deep.equal([]);
  }).timeout(60_000);
});
