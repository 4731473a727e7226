import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseConfig } from '../../src/config/parse-config.js';

const issuer = (changes: string, name = 'corp') =>
  `{ name: ${name}, issuer: "https://idp.example", audiences: [a], algorithms: [ES256], jwks: { file: k.json }, ${changes} }`;
const jwks = (keys: string, iss = 'https://idp.example') =>
  `{ name: corp, issuer: "${iss}", audiences: [a], algorithms: [ES256], jwks: { ${keys} } }`;
const jwt = (...issuers: string[]) => `jwt: [${issuers.join(', ')}]`;

/** The codes of what is wrong with a `trust` section, each with what it is said of. */
function faults(trust: string): string {
  const text = `version: 1\ntrust: { ${trust} }\npolicies: [p/]\n`;
  const parsed = parseConfig('c.yaml', text, {});
  return 'config' in parsed ? 'good' : parsed.map(({ code }) => code).join();
}

const rows: readonly { name: string; trust: string; want: string }[] = [
  { name: 'keys by https', trust: jwt(jwks('url: "https://idp.example/jwks"')), want: 'good' },
  {
    name: 'keys by http',
    trust: jwt(jwks('url: "http://idp.example/jwks"')),
    want: 'insecure_url',
  },
  {
    name: 'keys by http of 127.0.0.1',
    trust: jwt(jwks('url: "http://127.0.0.1:8/"')),
    want: 'good',
  },
  { name: 'keys by http of [::1]', trust: jwt(jwks('url: "http://[::1]:8/"')), want: 'good' },
  {
    name: 'keys by http of a name that begins like loopback',
    trust: jwt(jwks('url: "http://127.evil.example/"')),
    want: 'insecure_url',
  },
  {
    name: 'keys by http of a user on loopback',
    trust: jwt(jwks('url: "http://127.0.0.1@evil.example/"')),
    want: 'insecure_url',
  },
  { name: 'keys by file:', trust: jwt(jwks('url: "file:///k.json"')), want: 'insecure_url' },
  { name: 'discovery by https', trust: jwt(jwks('discovery: true')), want: 'good' },
  {
    name: 'discovery by http',
    trust: jwt(jwks('discovery: true', 'http://idp.example')),
    want: 'insecure_url',
  },
  {
    name: 'discovery of what is no URL',
    trust: jwt(jwks('discovery: true', 'kubernetes/serviceaccount')),
    want: 'insecure_url',
  },
  {
    name: 'two places for keys',
    trust: jwt(jwks('file: k.json, discovery: true')),
    want: 'wrong_value',
  },
  { name: 'types that give access', trust: jwt(issuer('types: [at+jwt, JWT]')), want: 'good' },
  ...[
    ...['wit+jwt', 'dpop+jwt', 'secevent+jwt', 'statuslist+jwt', 'txntoken+jwt'],
    ...['nhi-approval+jwt', 'application/SecEvent+JWT'],
  ].map((type) => ({
    name: `the type ${type}`,
    trust: jwt(issuer(`types: ["${type}"]`)),
    want: 'refused_type',
  })),
  {
    name: 'an issuer twice in one header',
    trust: jwt(issuer(''), issuer('', 'other')),
    want: 'duplicate_issuer',
  },
  {
    name: 'an issuer in two headers',
    trust: jwt(issuer(''), issuer('header: x-token', 'other')),
    want: 'good',
  },
  {
    name: 'a name twice',
    trust: jwt(issuer(''), issuer('header: x-token')),
    want: 'duplicate_name',
  },
  {
    name: 'external origins for DPoP',
    trust: 'dpop: { origins: ["https://api.example", "https://api.example:8443/base"] }',
    want: 'good',
  },
  ...['https://api.example/', 'api.example', 'https://u@api.example', 'https://api.example?x'].map(
    (origin) => ({
      name: `the DPoP origin ${origin}`,
      trust: `dpop: { origins: ["${origin}"] }`,
      want: 'bad_origin',
    }),
  ),
  {
    name: 'a bundle of a trust domain that is not accepted',
    trust: 'spiffe: { trustDomains: [a.example], peer: { bundles: { b.example: b.json } } }',
    want: 'unknown_trust_domain',
  },
];

describe('the address to listen on', () => {
  const said = (listen: string) => {
    const parsed = parseConfig('c.yaml', `version: 1\nlisten: ${listen}\npolicies: [p/]\n`, {});
    return 'config' in parsed ? 'good' : parsed.map(({ code }) => code).join();
  };
  const addresses: readonly [string, string][] = [
    ['127.0.0.1:9191', 'good'],
    ['127.9.9.9:9191', 'good'],
    ['"[::1]:9191"', 'good'],
    ['localhost:9191', 'good'],
    ['unix:///run/a.sock', 'good'],
    ['0.0.0.0:9191', 'open_address'],
    ['127.evil.example:9191', 'open_address'],
  ];
  for (const [listen, want] of addresses) {
    it(`${listen} without tls: ${want}`, () => expect(said(listen)).to.equal(want));
  }
});

describe('the trust section', () => {
  for (const { name, trust, want } of rows) {
    it(`${name}: ${want}`, () => expect(faults(trust)).to.equal(want));
  }
});
