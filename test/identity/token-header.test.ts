import { describe } from 'mocha';
import { corpToken, issuerOf, newKey } from './fixtures.js';
import { checkTokens, ok, unsigned } from './token-table.js';

const rsaKey = newKey('rsa-1', 'RS256');

describe('a token, by its header', () => {
  checkTokens([
    { name: 'A1 alg none', given: unsigned({ alg: 'none' }), want: 'token_algorithm_refused' },
    { name: 'A2 alg nOnE', given: unsigned({ alg: 'nOnE' }), want: 'token_algorithm_refused' },
    { name: 'A2 alg NONE', given: unsigned({ alg: 'NONE' }), want: 'token_algorithm_refused' },
    { name: 'A2 alg " none"', given: unsigned({ alg: ' none' }), want: 'token_algorithm_refused' },
    {
      name: 'alg in lower case',
      given: corpToken({}, { alg: 'es256' }),
      want: 'token_algorithm_refused',
    },
    {
      name: 'HS256 with the public key as secret',
      given: unsigned({ alg: 'HS256' }, 'AAAA'),
      want: 'token_algorithm_refused',
    },
    { name: 'no alg', given: corpToken({}, { alg: undefined }), want: 'credential_malformed' },
    {
      name: 'alg as a list',
      given: corpToken({}, { alg: ['ES256'] }),
      want: 'credential_malformed',
    },
    {
      name: 'A4 an algorithm of another issuer',
      given: corpToken({}, {}, rsaKey),
      want: 'token_algorithm_refused',
    },
    {
      name: 'A7 jku',
      given: corpToken({}, { jku: 'http://169.254.169.254/' }),
      want: 'credential_malformed',
    },
    {
      name: 'A7 x5u',
      given: corpToken({}, { x5u: 'https://evil.example/' }),
      want: 'credential_malformed',
    },
    { name: 'A7 jwk', given: corpToken({}, { jwk: {} }), want: 'credential_malformed' },
    { name: 'A7 x5c', given: corpToken({}, { x5c: [] }), want: 'credential_malformed' },
    {
      name: 'A8 a kid that is a path',
      given: corpToken({}, { kid: '../../dev/null' }),
      want: 'token_key_unknown',
    },
    {
      name: 'A8 a kid that is SQL',
      given: corpToken({}, { kid: "' OR 1=1" }),
      want: 'token_key_unknown',
    },
    {
      name: 'A8 a kid of 10 KiB',
      given: corpToken({}, { kid: 'k'.repeat(10_240) }),
      want: 'token_key_unknown',
    },
    { name: 'A8 an empty kid', given: corpToken({}, { kid: '' }), want: 'credential_malformed' },
    { name: 'A8 a number as kid', given: corpToken({}, { kid: 1 }), want: 'credential_malformed' },
    {
      name: 'a kid of a prototype',
      given: corpToken({}, { kid: '__proto__' }),
      want: 'token_key_unknown',
    },
    { name: 'A13 crit', given: corpToken({}, { crit: ['exp'] }), want: 'credential_malformed' },
    { name: 'A13 an empty crit', given: corpToken({}, { crit: [] }), want: 'credential_malformed' },
    { name: 'A13 b64 false', given: corpToken({}, { b64: false }), want: 'credential_malformed' },
    { name: 'A11 no kid and one key', given: corpToken({}, { kid: undefined }), want: ok },
    { name: 'typ in another case', given: corpToken({}, { typ: 'jwt' }), want: ok },
    { name: 'typ at+jwt', given: corpToken({}, { typ: 'at+jwt' }), want: ok },
    { name: 'typ as a media type', given: corpToken({}, { typ: 'application/AT+JWT' }), want: ok },
    { name: 'no typ', given: corpToken({}, { typ: undefined }), want: ok },
    { name: 'an empty typ', given: corpToken({}, { typ: '' }), want: 'token_type_refused' },
    {
      name: 'an empty media type',
      given: corpToken({}, { typ: 'application/' }),
      want: 'token_type_refused',
    },
    { name: 'typ as a number', given: corpToken({}, { typ: 7 }), want: 'credential_malformed' },
    ...[
      'dpop+jwt',
      'wit+jwt',
      'secevent+jwt',
      'statuslist+jwt',
      'txntoken+jwt',
      'nhi-approval+jwt',
    ].map((typ) => ({
      name: `B13 typ ${typ}`,
      given: corpToken({}, { typ }),
      want: 'token_type_refused',
    })),
    {
      name: 'B13 an ID token',
      given: corpToken({ nonce: 'n', at_hash: 'h' }),
      want: 'token_type_refused',
    },
    {
      name: 'B13 a SET with a generic typ',
      given: corpToken({ events: {} }),
      want: 'token_type_refused',
    },
  ]);

  describe('where at+jwt is asked for', () => {
    const issuers = () => [issuerOf({ rules: { types: ['at+jwt'] } })];
    checkTokens(
      [
        { name: 'at+jwt', given: corpToken({}, { typ: 'at+jwt' }), want: ok },
        {
          name: 'B14 no typ',
          given: corpToken({}, { typ: undefined }),
          want: 'token_type_refused',
        },
        { name: 'B14 typ JWT', given: corpToken(), want: 'token_type_refused' },
      ],
      issuers,
    );
  });
});
