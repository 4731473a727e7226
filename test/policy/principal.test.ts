import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse } from 'yaml';
import type { Caller, TokenIdentity } from '../../src/identity/caller.js';
import { parseSpiffeId } from '../../src/identity/spiffe-id.js';
import type { JsonObject } from '../../src/json/json-value.js';
import { policySchema } from '../../src/policy/policy-schema.js';
import { builtInPrincipals, compilePrincipal, type Principal } from '../../src/policy/principal.js';

const bot = 'spiffe://prod.example/ns/pay/sa/bot';

/** As a policy author writes it. */
function principal(yaml: string): Principal {
  const file = { version: 1, policy: 'p', principals: { x: parse(yaml) } };
  const entry = policySchema.parse(file).principals['x'];
  const compiled = entry === undefined ? [] : compilePrincipal('x', entry);
  if (!('match' in compiled)) throw new Error(compiled.map(({ message }) => message).join());
  return compiled;
}

function spiffeId(text: string) {
  const id = parseSpiffeId(text);
  if (typeof id === 'string') throw new Error(id);
  return id;
}

const peer = (text: string) => ({ spiffeId: spiffeId(text), certificate: undefined });

function token(claims: JsonObject, more: Partial<TokenIdentity> = {}): TokenIdentity {
  return {
    kind: 'jwt',
    id: 'corp:robot-7',
    issuer: 'corp',
    subject: 'robot-7',
    spiffeId: undefined,
    claims,
    actor: undefined,
    scopes: [],
    jti: undefined,
    keyId: undefined,
    issuedAt: undefined,
    expiresAt: 2_000_000_000,
    proof: 'none',
    header: 'authorization',
    ...more,
  };
}

const svid = (text: string): Partial<TokenIdentity> => ({
  kind: 'jwt-svid',
  id: text,
  issuer: 'prod.example',
  subject: text,
  spiffeId: spiffeId(text),
});

interface Row {
  readonly name: string;
  readonly given: string;
  readonly peer?: string;
  readonly token?: TokenIdentity;
  /** The id that matched; none: no match. */
  readonly want?: string;
}

const any = `{ spiffe: "${bot}" }`;
const both = `{ spiffe: "${bot}", jwt: { issuer: corp, subject: "robot-*" } }`;
const claim = (pattern: string) => `{ jwt: { claims: { c: ${pattern} } } }`;
const id = 'corp:robot-7';

const spiffe: readonly Row[] = [
  { name: 'an mTLS peer', given: any, peer: bot, want: bot },
  { name: 'a JWT-SVID', given: any, token: token({}, svid(bot)), want: bot },
  { name: 'via mtls: the peer', given: `{ spiffe: "${bot}", via: mtls }`, peer: bot, want: bot },
  {
    name: 'via mtls: no JWT-SVID',
    given: `{ spiffe: "${bot}", via: mtls }`,
    token: token({}, svid(bot)),
  },
  {
    name: 'via jwt-svid: the token',
    given: `{ spiffe: "${bot}", via: jwt-svid }`,
    token: token({}, svid(bot)),
    want: bot,
  },
  { name: 'via jwt-svid: no peer', given: `{ spiffe: "${bot}", via: jwt-svid }`, peer: bot },
  {
    name: 'any pattern of a list',
    given: `{ spiffe: ["spiffe://a/b", "spiffe://prod.example/ns/*/sa/bot"] }`,
    peer: bot,
    want: bot,
  },
  { name: 'another trust domain', given: any, peer: 'spiffe://evil.example/ns/pay/sa/bot' },
  { name: 'an id that only begins alike', given: any, peer: `${bot}/x` },
  { name: 'a token whose subject looks like the id', given: any, token: token({ sub: bot }) },
  { name: 'nobody', given: any },
];

const jwt: readonly Row[] = [
  { name: 'both parts hold', given: both, peer: bot, token: token({}), want: bot },
  { name: 'the peer alone', given: both, peer: bot },
  { name: 'the token alone', given: both, token: token({}) },
  {
    name: 'another subject',
    given: both,
    peer: bot,
    token: token({}, { subject: 'x-robot-7' }),
  },
  {
    name: 'another issuer',
    given: '{ jwt: { issuer: partners } }',
    token: token({}),
  },
  {
    name: 'any issuer of a list',
    given: '{ jwt: { issuer: [partners, corp] } }',
    token: token({}),
    want: id,
  },
  {
    name: 'a trust domain spelt like the issuer is another issuer',
    given: '{ jwt: { issuer: prod.example } }',
    token: token({}, svid(bot)),
  },
  {
    name: 'claims of a JWT-SVID, where no issuer is named',
    given: `{ spiffe: "${bot}", via: jwt-svid, jwt: { claims: { env: prod } } }`,
    token: token({ env: 'prod' }, svid(bot)),
    want: bot,
  },
  {
    name: 'the actor',
    given: '{ jwt: { actor: { subject: "ops-*", claims: { role: lead } } } }',
    token: token({}, { actor: { sub: 'ops-1', role: 'lead' } }),
    want: id,
  },
  {
    name: 'an actor that is missing',
    given: '{ jwt: { actor: {} } }',
    token: token({ role: 'lead' }),
  },
  {
    name: 'a role that only a nested actor has (E19)',
    given: '{ jwt: { actor: { claims: { role: lead } } } }',
    token: token({}, { actor: { sub: 'a', act: { sub: 'b', role: 'lead' } } }),
  },
  {
    name: 'an actor whose subject is no text',
    given: '{ jwt: { actor: { subject: "*" } } }',
    token: token({}, { actor: { sub: 5 } }),
  },
];

const typed: readonly {
  name: string;
  pattern: string;
  value: JsonObject[string];
  want: boolean;
}[] = [
  { name: 'a text', pattern: 'acme', value: 'acme', want: true },
  { name: 'a text in another case (D2)', pattern: 'acme', value: 'ACME', want: false },
  { name: 'a text with a space (D2)', pattern: 'acme', value: 'acme ', want: false },
  { name: 'a run of characters', pattern: '"a*e"', value: 'acme', want: true },
  { name: 'an empty run', pattern: '"acme*"', value: 'acme', want: true },
  { name: 'a run across slashes and lines', pattern: '"a*e"', value: 'a/b\nc.e', want: true },
  { name: 'parts that may not overlap', pattern: '"ab*ba"', value: 'aba', want: false },
  { name: 'nothing else is special', pattern: '"a.c?"', value: 'abcd', want: false },
  { name: '* in a claim is a letter like others (D5)', pattern: 'acme', value: '*', want: false },
  { name: 'true', pattern: 'true', value: true, want: true },
  { name: 'true is not the text', pattern: 'true', value: 'true', want: false },
  { name: 'the text is not true', pattern: '"true"', value: true, want: false },
  { name: 'a number', pattern: '5', value: 5, want: true },
  { name: 'a number is not the text', pattern: '5', value: '5', want: false },
  { name: 'the text is not the number', pattern: '"5"', value: 5, want: false },
  { name: '* is for texts alone: no number', pattern: '"*"', value: 5, want: false },
  { name: '* is for texts alone: no null', pattern: '"*"', value: null, want: false },
  { name: '* is for texts alone: no mapping', pattern: '"*"', value: { a: 'b' }, want: false },
  { name: 'one member of a list', pattern: 'b', value: ['a', 'b'], want: true },
  { name: 'no member of a list', pattern: 'c', value: ['a', 'b'], want: false },
  { name: 'an empty list (D5)', pattern: '"*"', value: [], want: false },
  { name: 'a list within a list', pattern: 'a', value: [['a']], want: false },
  { name: 'any pattern of a list', pattern: '[x, 5]', value: 5, want: true },
  { name: 'any pattern, any member', pattern: '[x, b]', value: ['a', 'b'], want: true },
  { name: 'members of a mapping', pattern: '{ ns: pay }', value: { ns: 'pay', z: 1 }, want: true },
  {
    name: 'a mapping that lacks one',
    pattern: '{ ns: pay, z: 2 }',
    value: { ns: 'pay' },
    want: false,
  },
  { name: 'a mapping in a list', pattern: '{ r: x }', value: [{ r: 'y' }, { r: 'x' }], want: true },
  { name: 'a text where a mapping is asked', pattern: '{ ns: pay }', value: 'pay', want: false },
  { name: 'an inherited name', pattern: '{ toString: "*" }', value: {}, want: false },
];

describe('a principal', () => {
  for (const { name, given, want, ...caller } of [...spiffe, ...jwt]) {
    it(`matches by all of its keys: ${name}`, () => {
      const from: Caller = {
        peer: caller.peer === undefined ? undefined : peer(caller.peer),
        token: caller.token,
      };
      expect(principal(given).match(from)).to.equal(want);
    });
  }

  for (const { name, pattern, value, want } of typed) {
    it(`holds a claim to its type: ${name}`, () => {
      const caller: Caller = { peer: undefined, token: token({ c: value }) };
      expect(principal(claim(pattern)).match(caller)).to.equal(want ? id : undefined);
    });
  }

  it('does not take a claim that is missing for any (D5)', () => {
    expect(principal(claim('"*"')).match({ peer: undefined, token: token({}) })).to.equal(
      undefined,
    );
  });

  it('matches a pattern of many * in linear time', () => {
    const pattern = claim(`"${'a*'.repeat(200)}b"`);
    const caller: Caller = { peer: undefined, token: token({ c: 'a'.repeat(20_000) }) };
    expect(principal(pattern).match(caller)).to.equal(undefined);
  });

  it('is built in for anyone and for the authenticated', () => {
    const nobody: Caller = { peer: undefined, token: undefined };
    const somebody: Caller = { peer: peer(bot), token: token({}) };
    const ids = ['anyone', 'authenticated'].map((name) =>
      [nobody, somebody].map((caller) => builtInPrincipals.get(name)?.match(caller)),
    );
    expect(ids).to.deep.equal([
      ['', bot],
      [undefined, bot],
    ]);
  });
});
