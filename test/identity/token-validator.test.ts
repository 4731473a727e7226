import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import {
  bearer,
  changingKeys,
  context,
  corpToken,
  identifierOf,
  issuerOf,
  nowMs,
  otherKey,
  outcomeOf,
  requestOf,
  verificationKey,
} from './fixtures.js';

describe("a token's validator", () => {
  const vault = () =>
    issuerOf({
      name: 'vault',
      header: 'x-corp-token',
      rules: { issuer: 'https://vault.example' },
      keys: changingKeys([verificationKey(otherKey)]),
    });
  const vaultToken = corpToken({ iss: 'https://vault.example' }, {}, otherKey);
  const rows = [
    {
      name: 'reads an issuer from its own header',
      given: { 'x-corp-token': vaultToken },
      want: 'vault:agent-7',
    },
    {
      name: 'reads it from no other header',
      given: { authorization: `Bearer ${vaultToken}` },
      want: 'token_issuer_unknown',
    },
    {
      name: 'reads no other issuer from that header',
      given: { 'x-corp-token': corpToken() },
      want: 'token_issuer_unknown',
    },
  ];
  for (const { name, given, want } of rows) {
    it(name, async () => {
      const identifier = identifierOf({ token: { issuers: [issuerOf(), vault()] } });
      expect(outcomeOf(await identifier.identify(requestOf(given), context()))).to.equal(want);
    });
  }
});

describe('an invalid token that is to be ignored', () => {
  const away = issuerOf({ keys: changingKeys(new Refusal('keys_unavailable', 'away')) });
  const rows = [
    {
      name: 'leaves a caller without identity',
      issuer: issuerOf(),
      token: corpToken({ exp: 1 }),
      want: 'nobody',
    },
    { name: 'is ignored when it is malformed', issuer: issuerOf(), token: 'x', want: 'nobody' },
    {
      name: 'is not ignored while its keys are away',
      issuer: away,
      token: corpToken(),
      want: 'keys_unavailable',
    },
  ];
  for (const { name, issuer, token, want } of rows) {
    it(name, async () => {
      const identifier = identifierOf({ onInvalidToken: 'ignore', token: { issuers: [issuer] } });
      expect(outcomeOf(await identifier.identify(bearer(token), context()))).to.equal(want);
    });
  }
});

describe('the refusal of a token', () => {
  it('holds nothing of the token', async () => {
    const token = corpToken({ sub: 'secret-subject' }, {}, { ...otherKey, kid: 'corp-1' });
    const refusal = await identifierOf().identify(bearer(token), context('c', nowMs));
    expect(JSON.stringify(refusal)).to.not.include('secret-subject');
    expect(JSON.stringify(refusal)).to.not.include(token.slice(-20));
  });
});
