import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import { readCredential } from '../../src/identity/credential.js';

const known = ['authorization', 'x-corp-token'];

const read = (headers: Readonly<Record<string, readonly string[]>>) => {
  const found = readCredential(new Map(Object.entries(headers)), known);
  if (found === undefined) return 'none';
  return found instanceof Refusal ? found.code : `${found.header} ${found.scheme} ${found.token}`;
};

describe('readCredential', () => {
  const rows = [
    { name: 'no header', given: {}, want: 'none' },
    {
      name: 'a bearer token',
      given: { authorization: ['Bearer t'] },
      want: 'authorization bearer t',
    },
    { name: 'C2 bearer', given: { authorization: ['bearer t'] }, want: 'authorization bearer t' },
    { name: 'C2 BEARER', given: { authorization: ['BEARER t'] }, want: 'authorization bearer t' },
    {
      name: 'C2 two blanks',
      given: { authorization: ['Bearer  t'] },
      want: 'authorization bearer t',
    },
    { name: 'C2 a tab', given: { authorization: ['Bearer\tt'] }, want: 'credential_malformed' },
    {
      name: 'C2 no blank and no token',
      given: { authorization: ['Bearer'] },
      want: 'credential_malformed',
    },
    {
      name: 'E 59 a blank and no token',
      given: { authorization: ['Bearer '] },
      want: 'credential_malformed',
    },
    {
      name: 'a text behind the token',
      given: { authorization: ['Bearer t x'] },
      want: 'credential_malformed',
    },
    {
      name: 'a colon for the blank',
      given: { authorization: ['Bearer:t'] },
      want: 'credential_malformed',
    },
    {
      name: 'a leading blank',
      given: { authorization: [' Bearer t'] },
      want: 'credential_malformed',
    },
    {
      name: 'DPoP in any case',
      given: { authorization: ['dpop t'] },
      want: 'authorization dpop t',
    },
    { name: 'C4 Basic', given: { authorization: ['Basic dTpw'] }, want: 'none' },
    {
      name: 'Digest with its commas',
      given: { authorization: ['Digest a="b, c", d=e, f = "g"'] },
      want: 'none',
    },
    {
      name: 'a scheme that begins like Bearer',
      given: { authorization: ['Bearer2 t'] },
      want: 'none',
    },
    { name: 'an empty header', given: { authorization: [''] }, want: 'none' },
    {
      name: 'C1 two lines',
      given: { authorization: ['Bearer a', 'Bearer b'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'C1 two joined',
      given: { authorization: ['Bearer a,Bearer b'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'C1 the same twice',
      given: { authorization: ['Bearer a,Bearer a'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'E 59 a trailing comma',
      given: { authorization: ['Bearer a,'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'Basic before Bearer',
      given: { authorization: ['Basic a, Bearer b'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'two Basic lines',
      given: { authorization: ['Basic a', 'Basic b'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'two Basic joined',
      given: { authorization: ['Basic a,Basic b'] },
      want: 'credential_ambiguous',
    },
    { name: 'a bare token', given: { 'x-corp-token': ['t'] }, want: 'x-corp-token bare t' },
    {
      name: 'two bare tokens',
      given: { 'x-corp-token': ['t', 'u'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'two bare tokens joined',
      given: { 'x-corp-token': ['t,u'] },
      want: 'credential_ambiguous',
    },
    { name: 'an empty bare token', given: { 'x-corp-token': [''] }, want: 'credential_malformed' },
    {
      name: 'tokens in two headers',
      given: { authorization: ['Bearer t'], 'x-corp-token': ['u'] },
      want: 'credential_ambiguous',
    },
    {
      name: 'Basic beside a bare token',
      given: { authorization: ['Basic dTpw'], 'x-corp-token': ['u'] },
      want: 'x-corp-token bare u',
    },
    { name: 'a header that is none of an issuer', given: { 'x-other': ['t'] }, want: 'none' },
  ];
  for (const { name, given, want } of rows) {
    it(`reads ${name} as ${want}`, () => {
      expect(read(given)).to.equal(want);
    });
  }
});
