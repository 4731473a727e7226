import { expect } from 'chai';
import { describe, it } from 'mocha';
import {
  bearer,
  context,
  corpKey,
  corpToken,
  identifierOf,
  issuerOf,
  now,
  signRaw,
} from './fixtures.js';
import { checkTokens, header, ok, withMember } from './token-table.js';

describe('a token, by its claims', () => {
  checkTokens([
    { name: 'B8 another aud', given: corpToken({ aud: 'other' }), want: 'token_audience_mismatch' },
    {
      name: 'B8 aud with a suffix',
      given: corpToken({ aud: 'payments2' }),
      want: 'token_audience_mismatch',
    },
    { name: 'B8 an empty list', given: corpToken({ aud: [] }), want: 'token_audience_mismatch' },
    { name: 'B8 no aud', given: corpToken({ aud: undefined }), want: 'token_audience_mismatch' },
    {
      name: 'B8 a list of others',
      given: corpToken({ aud: ['other'] }),
      want: 'token_audience_mismatch',
    },
    {
      name: 'B8 a list with a number',
      given: corpToken({ aud: ['payments', 7] }),
      want: 'token_audience_mismatch',
    },
    {
      name: 'B8 aud in another case',
      given: corpToken({ aud: 'Payments' }),
      want: 'token_audience_mismatch',
    },
    { name: 'a list with ours', given: corpToken({ aud: ['other', 'payments'] }), want: ok },
    {
      name: 'B10 iss with a trailing slash',
      given: corpToken({ iss: 'https://idp.example/' }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'B10 iss in upper case',
      given: corpToken({ iss: 'https://IDP.example' }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'B10 iss with a port',
      given: corpToken({ iss: 'https://idp.example:443' }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'B10 iss as a list',
      given: corpToken({ iss: ['https://idp.example'] }),
      want: 'token_issuer_unknown',
    },
    {
      name: 'B10 iss with http',
      given: corpToken({ iss: 'http://idp.example' }),
      want: 'token_issuer_unknown',
    },
    { name: 'no iss', given: corpToken({ iss: undefined }), want: 'token_issuer_unknown' },
    { name: 'no sub', given: corpToken({ sub: undefined }), want: 'token_claim_invalid' },
    { name: 'an empty sub', given: corpToken({ sub: '' }), want: 'token_claim_invalid' },
    { name: 'a number as sub', given: corpToken({ sub: 42 }), want: 'token_claim_invalid' },
    { name: 'a number as jti', given: corpToken({ jti: 1 }), want: 'token_claim_invalid' },
    {
      name: 'act as a list',
      given: corpToken({ act: [{ sub: 'a' }] }),
      want: 'token_claim_invalid',
    },
    {
      name: 'A20 claims with names of a prototype',
      given: signRaw(header, withMember('"__proto__":{"iss":"x"},"toString":1'), corpKey),
      want: ok,
    },
  ]);
  checkTokens(
    [
      { name: 'a required claim', given: corpToken({ tenant: 'acme' }), want: ok },
      { name: 'a required claim that is missing', given: corpToken(), want: 'token_claim_invalid' },
      {
        name: 'a required claim that is null',
        given: corpToken({ tenant: null }),
        want: 'token_claim_invalid',
      },
    ],
    () => [issuerOf({ rules: { requiredClaims: ['tenant'] } })],
  );

  it('takes the outermost actor, the scopes and the times from a verified token', async () => {
    const act = { sub: 'robot', act: { sub: 'admin' } };
    const token = corpToken({ act, scope: 'read  write' });
    const caller = await identifierOf().identify(bearer(token), context());
    expect(caller)
      .to.have.property('token')
      .that.deep.include({
        kind: 'jwt',
        issuer: 'corp',
        subject: 'agent-7',
        actor: act,
        scopes: ['read', 'write'],
        jti: 'j-1',
        issuedAt: now - 60,
        expiresAt: now + 240,
        proof: 'none',
        header: 'authorization',
      });
  });
});
