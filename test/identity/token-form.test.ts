import { describe } from 'mocha';
import { base64url, claims, corpKey, corpToken, now, signRaw } from './fixtures.js';
import { checkTokens, header, ok, withMember } from './token-table.js';

const deep = (depth: number) =>
  `{"iss":"https://idp.example","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;

describe('a token, by its form', () => {
  const [head = '', body = '', signature = ''] = corpToken().split('.');
  checkTokens([
    { name: 'a good token', given: corpToken(), want: ok },
    { name: 'A14 two parts', given: `${head}.${body}`, want: 'credential_malformed' },
    {
      name: 'A14 four parts',
      given: `${head}.${body}.${signature}.`,
      want: 'credential_malformed',
    },
    {
      name: 'A14 a JWE',
      given: `${head}.${body}.${body}.${body}.${body}`,
      want: 'credential_malformed',
    },
    {
      name: 'A14 a nested JWT',
      given: corpToken({}, { cty: 'JWT' }),
      want: 'credential_malformed',
    },
    {
      name: 'A14 the JSON serialization',
      given: '{"payload":"e30","signature":"AA"}',
      want: 'credential_malformed',
    },
    { name: 'padding', given: `${corpToken()}==`, want: 'credential_malformed' },
    {
      name: 'A16 another spelling of the last character',
      given: `${head}.${body}.${respelled(signature)}`,
      want: 'credential_malformed',
    },
    {
      name: 'standard base64',
      given: `${head}.${body}.${signature.slice(0, -2)}+/`,
      want: 'credential_malformed',
    },
    {
      name: 'A17 the claim sub twice',
      given: signRaw(header, withMember('"sub":"admin"'), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A17 the claim aud twice',
      given: signRaw(header, withMember('"aud":"payments"'), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A17 the claim exp twice',
      given: signRaw(header, withMember(`"exp":${now + 1e6}`), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A17 a nested claim twice',
      given: signRaw(header, withMember('"act":{"sub":"a","sub":"b"}'), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A17 a claim twice by an escape',
      given: signRaw(header, withMember('"\\u0073ub":"admin"'), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'a header member twice',
      given: signRaw('{"alg":"none","alg":"ES256","kid":"corp-1"}', claims(), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A19 20 KiB',
      given: corpToken({ pad: 'x'.repeat(20_480) }),
      want: 'credential_malformed',
    },
    {
      name: 'A19 1 MiB',
      given: corpToken({ pad: 'x'.repeat(1 << 20) }),
      want: 'credential_malformed',
    },
    {
      name: 'A19 deep nesting',
      given: signRaw(header, deep(2000), corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A22 a payload that is a list',
      given: signRaw(header, '[]', corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A22 a payload that is a text',
      given: signRaw(header, '"x"', corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A22 a byte order mark',
      given: signRaw(header, `\ufeff${JSON.stringify(claims())}`, corpKey),
      want: 'credential_malformed',
    },
    {
      name: 'A22 invalid UTF-8',
      given: `${head}.${base64url(Buffer.from([0x7b, 0xff, 0x7d]))}.${signature}`,
      want: 'credential_malformed',
    },
    { name: 'A22 no JSON', given: signRaw(header, '{', corpKey), want: 'credential_malformed' },
    {
      name: 'an exp of 1e999',
      given: signRaw(header, withMember('"x":1e999'), corpKey),
      want: 'credential_malformed',
    },
  ]);
});

/** 64 bytes leave four unused bits in the last of 86 characters. */
function respelled(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(signature.slice(-1));
  return `${signature.slice(0, -1)}${alphabet[last + 1]}`;
}
