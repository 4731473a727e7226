import { expect } from 'chai';
import { describe, it } from 'mocha';
import {
  bearer,
  bundlesOf,
  context,
  corpToken,
  identifierOf,
  newKey,
  now,
  outcomeOf,
  requestOf,
  svidKey,
  svidToken,
} from './fixtures.js';

const bot = 'spiffe://prod.example/ns/a/sa/bot';
const partnerKey = newKey('svid-1');
const edKey = newKey('svid-1', 'EdDSA');
const kinds = ['ES256', 'ES384', 'ES512', 'RS256', 'PS256'].map((kind) => newKey('svid-1', kind));

const outcome = async (token: string, bundles = bundlesOf({ 'prod.example': [svidKey] })) =>
  outcomeOf(await identifierOf({ token: { bundles } }).identify(bearer(token), context()));

describe('a JWT-SVID', () => {
  const rows = [
    { name: 'a good one', given: svidToken(), want: bot },
    { name: 'typ JWT', given: svidToken({}, { typ: 'JWT' }), want: bot },
    { name: 'typ JOSE', given: svidToken({}, { typ: 'JOSE' }), want: bot },
    {
      name: 'E 62 typ in lower case',
      given: svidToken({}, { typ: 'jwt' }),
      want: 'token_type_refused',
    },
    { name: 'typ at+jwt', given: svidToken({}, { typ: 'at+jwt' }), want: 'token_type_refused' },
    { name: 'an empty typ', given: svidToken({}, { typ: '' }), want: 'token_type_refused' },
    {
      name: 'B13 typ wit+jwt',
      given: svidToken({}, { typ: 'wit+jwt' }),
      want: 'token_type_refused',
    },
    { name: 'A11 no kid', given: svidToken({}, { kid: undefined }), want: 'token_key_unknown' },
    { name: 'an unknown kid', given: svidToken({}, { kid: 'x' }), want: 'token_key_unknown' },
    {
      name: 'an iss that no issuer has',
      given: svidToken({ iss: 'https://spire.example' }),
      want: bot,
    },
    { name: 'no aud', given: svidToken({ aud: undefined }), want: 'token_audience_mismatch' },
    { name: 'another aud', given: svidToken({ aud: ['x'] }), want: 'token_audience_mismatch' },
    { name: 'no exp', given: svidToken({ exp: undefined }), want: 'token_claim_invalid' },
    { name: 'an old exp', given: svidToken({ exp: now - 60 }), want: 'token_expired' },
    {
      name: 'a sub that is no SPIFFE id',
      given: svidToken({ sub: 'bot' }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'C14 a sub that only begins like one',
      given: svidToken({ sub: 'spiffe://prod.example/../a' }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'C14 a sub in upper case',
      given: svidToken({ sub: 'SPIFFE://prod.example/a' }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'a sub without path',
      given: svidToken({ sub: 'spiffe://prod.example' }),
      want: 'token_claim_invalid',
    },
    {
      name: 'a sub of another domain',
      given: svidToken({ sub: 'spiffe://evil.example/a' }),
      want: 'trust_domain_refused',
    },
    {
      name: 'a sub of a domain that ends alike',
      given: svidToken({ sub: 'spiffe://xprod.example/a' }),
      want: 'trust_domain_refused',
    },
    {
      name: 'another key under the kid',
      given: svidToken({}, {}, partnerKey),
      want: 'token_signature_invalid',
    },
  ];
  for (const { name, given, want } of rows) {
    it(`answers ${name} with ${want}`, async () => {
      expect(await outcome(given)).to.equal(want);
    });
  }

  for (const key of kinds) {
    it(`accepts ${key.alg}`, async () => {
      const bundles = bundlesOf({ 'prod.example': [key] });
      expect(await outcome(svidToken({}, {}, key), bundles)).to.equal(bot);
    });
  }

  it('A5 refuses EdDSA with a good key', async () => {
    const bundles = bundlesOf({ 'prod.example': [edKey] });
    expect(await outcome(svidToken({}, {}, edKey), bundles)).to.equal('token_algorithm_refused');
  });

  it('C16 is not verified by a bundle of another trust domain', async () => {
    const trustDomains = new Set(['prod.example', 'partner.example']);
    const bundles = bundlesOf({ 'prod.example': [svidKey], 'partner.example': [partnerKey] });
    const identifier = identifierOf({ token: { bundles, trustDomains } });
    const forged = await identifier.identify(bearer(svidToken({}, {}, partnerKey)), context());
    expect(outcomeOf(forged)).to.equal('token_signature_invalid');
  });

  it('C17 answers a missing bundle with bundle_unavailable, an empty one with token_key_unknown', async () => {
    expect(await outcome(svidToken(), bundlesOf({}))).to.equal('bundle_unavailable');
    expect(await outcome(svidToken(), bundlesOf({ 'prod.example': [] }))).to.equal(
      'token_key_unknown',
    );
  });

  it('is unknown where JWT-SVIDs are not configured', async () => {
    const identifier = identifierOf({ token: { jwtSvid: undefined } });
    const result = await identifier.identify(bearer(svidToken()), context());
    expect(outcomeOf(result)).to.equal('token_issuer_unknown');
  });

  it('is never chosen for a token whose iss is configured', async () => {
    const result = await identifierOf().identify(bearer(corpToken({ sub: bot })), context());
    expect(outcomeOf(result)).to.equal(`corp:${bot}`);
  });

  it('and a peer are identities side by side', async () => {
    const principal = 'spiffe://prod.example/ns/a/sa/gateway';
    const request = requestOf(
      { authorization: `Bearer ${svidToken()}` },
      { peer: { principal, certificatePem: undefined } },
    );
    expect(outcomeOf(await identifierOf().identify(request, context()))).to.equal(
      `${principal} ${bot}`,
    );
  });
});
