import { describe } from 'mocha';
import { corpToken, issuerOf, now } from './fixtures.js';
import { checkTokens, ok } from './token-table.js';

describe('a token, by its times', () => {
  const strict = () => [issuerOf({ rules: { clockToleranceMs: 0 } })];
  checkTokens([
    { name: 'B1 exp a second ago, within tolerance', given: corpToken({ exp: now - 1 }), want: ok },
    {
      name: 'B2 exp + tolerance exactly now',
      given: corpToken({ exp: now - 5 }),
      want: 'token_expired',
    },
    { name: 'exp + tolerance one second from now', given: corpToken({ exp: now - 4 }), want: ok },
    { name: 'no exp', given: corpToken({ exp: undefined }), want: 'token_claim_invalid' },
    {
      name: 'exp as a text',
      given: corpToken({ exp: `${now + 60}` }),
      want: 'token_claim_invalid',
    },
    { name: 'exp beyond all dates', given: corpToken({ exp: 1e300 }), want: 'token_claim_invalid' },
    { name: 'a negative exp', given: corpToken({ exp: -1 }), want: 'token_expired' },
    { name: 'B4 iat within tolerance', given: corpToken({ iat: now + 5 }), want: ok },
    {
      name: 'B4 iat beyond tolerance',
      given: corpToken({ iat: now + 6 }),
      want: 'token_not_yet_valid',
    },
    { name: 'iat as a text', given: corpToken({ iat: `${now}` }), want: 'token_claim_invalid' },
    { name: 'B5 nbf within tolerance', given: corpToken({ nbf: now + 5 }), want: ok },
    {
      name: 'B5 nbf beyond tolerance',
      given: corpToken({ nbf: now + 6 }),
      want: 'token_not_yet_valid',
    },
    { name: 'nbf as null', given: corpToken({ nbf: null }), want: 'token_claim_invalid' },
  ]);
  checkTokens(
    [
      {
        name: 'B1 exp a second ago without tolerance',
        given: corpToken({ exp: now - 1 }),
        want: 'token_expired',
      },
      { name: 'exp now without tolerance', given: corpToken({ exp: now }), want: 'token_expired' },
    ],
    strict,
  );
  describe('where a lifetime is set', () => {
    checkTokens(
      [
        { name: 'just that lifetime', given: corpToken({ iat: now, exp: now + 3600 }), want: ok },
        {
          name: 'B20 a year',
          given: corpToken({ iat: now, exp: now + 31_536_000 }),
          want: 'token_lifetime_exceeded',
        },
        {
          name: 'a second more',
          given: corpToken({ iat: now, exp: now + 3601 }),
          want: 'token_lifetime_exceeded',
        },
        { name: 'no iat', given: corpToken({ iat: undefined }), want: 'token_claim_invalid' },
      ],
      () => [issuerOf({ rules: { maxLifetimeMs: 3_600_000 } })],
    );
  });
});
