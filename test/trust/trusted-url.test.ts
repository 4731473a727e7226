import { expect } from 'chai';
import { describe, it } from 'mocha';
import { mayLeadTo } from '../../src/trust/trusted-url.js';

const far = 'https://idp.example';
const local = 'http://127.0.0.1:8080';
const rows: readonly { issuer: string; url: string; want: boolean }[] = [
  { issuer: far, url: 'https://idp.example/jwks', want: true },
  { issuer: far, url: 'https://keys.example/jwks', want: true },
  { issuer: far, url: 'HTTPS://keys.example/jwks', want: true },
  { issuer: far, url: 'http://idp.example/jwks', want: false },
  { issuer: far, url: 'http://127.0.0.1:8080/jwks', want: false },
  { issuer: far, url: 'http://localhost/jwks', want: false },
  { issuer: far, url: 'file:///etc/passwd', want: false },
  { issuer: far, url: 'https://u:p@keys.example/jwks', want: false },
  { issuer: far, url: '/jwks', want: false },
  { issuer: local, url: 'http://127.0.0.1:8080/jwks', want: true },
  { issuer: local, url: 'https://keys.example/jwks', want: true },
  { issuer: local, url: 'http://169.254.169.254/jwks', want: false },
];

describe('the jwks_uri of an OpenID configuration', () => {
  for (const { issuer, url, want } of rows) {
    it(`${url} of ${issuer} is ${want ? '' : 'not '}asked for keys`, () => {
      expect(mayLeadTo(issuer, url)).to.equal(want);
    });
  }
});
