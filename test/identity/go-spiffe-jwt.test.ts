import { expect } from 'chai';
import fc from 'fast-check';
import { before, it } from 'mocha';
import { parseSpiffeBundle, staticBundles } from '../../src/trust/spiffe-bundle.js';
import { describeGo } from '../support/go-program.js';
import { askGo, buildGoSpiffe, type GoTrust } from '../support/go-spiffe.js';
import {
  base64url,
  bearer,
  context,
  identifierOf,
  malleableTwin,
  newKey,
  outcomeOf,
  publicJwk,
  type SigningKey,
  signRaw,
} from './fixtures.js';

const bot = 'spiffe://prod.example/ns/a/sa/bot';
const seconds = () => Math.floor(Date.now() / 1000);

const prod = ['ES256', 'ES384', 'ES512', 'RS256'].map((kind) => newKey(`prod-${kind}`, kind));
const [ec = newKey('none'), ec384 = ec, ec512 = ec, rsa = ec] = prod;
const partner = newKey('partner-1');
const edwards = newKey('prod-EdDSA', 'EdDSA');
const stranger = newKey('prod-ES256');

const jwk = (key: SigningKey) => ({ ...publicJwk(key), kid: key.kid });
const jwksOf = (keys: readonly SigningKey[], use?: string) =>
  JSON.stringify({ keys: keys.map((key) => ({ ...jwk(key), ...(use && { use }) })) });
const domains = { 'prod.example': [...prod, edwards], 'partner.example': [partner] };

/** A token under construction; a fault changes one thing of a good one. */
interface Draft {
  header: Record<string, unknown>;
  payload: Record<string, unknown>;
  key: SigningKey;
  /** Changes to the finished token. */
  finish: (token: string) => string;
  /** Text of the header or payload instead of JSON.stringify's. */
  spell: { header?: (json: string) => string; payload?: (json: string) => string };
}

/** Where go-spiffe is laxer, the rule by which it is refused here. */
interface Change {
  readonly name: string;
  readonly apply: (draft: Draft) => void;
  readonly isGood?: true;
  readonly stricter?: string;
}

const head = (changes: object) => (draft: Draft) => void Object.assign(draft.header, changes);
/** A function where a time is in it: modules are loaded long before their tests run. */
const body = (changes: object | (() => object)) => (draft: Draft) =>
  void Object.assign(draft.payload, typeof changes === 'function' ? changes() : changes);
const by =
  (key: SigningKey, alg = key.alg) =>
  (draft: Draft) => {
    Object.assign(draft, { key: { ...key, alg } });
    Object.assign(draft.header, { alg, kid: key.kid });
  };
const spelled = (spell: Draft['spell']) => (draft: Draft) => void Object.assign(draft.spell, spell);
const finished = (finish: Draft['finish']) => (draft: Draft) =>
  void Object.assign(draft, { finish });
const partsOf = (change: (parts: string[]) => string[]) =>
  finished((token) => change(token.split('.')).join('.'));
/** The last character of 86 carries four bits that no byte has. */
const respelled = (token: string) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return `${token.slice(0, -1)}${alphabet[alphabet.indexOf(token.at(-1) ?? '') ^ 1]}`;
};
const once = 'BCP 225: no key material, no crit, no nesting in the header';
const shape = 'BCP 225 §3.14 (bis): one spelling of a token';
const strictJson = 'PRODUCT.md principle 3: no duplicate keys, no number beyond 2^53';
const types = 'RFC 7519 §4.1: the types of registered claims';

const changes: readonly Change[] = [
  { name: 'nothing', apply: () => {}, isGood: true },
  { name: 'ES384', apply: by(ec384), isGood: true },
  { name: 'ES512', apply: by(ec512), isGood: true },
  { name: 'RS256', apply: by(rsa), isGood: true },
  { name: 'RS384', apply: by(rsa, 'RS384'), isGood: true },
  { name: 'RS512', apply: by(rsa, 'RS512'), isGood: true },
  { name: 'PS256', apply: by(rsa, 'PS256'), isGood: true },
  { name: 'PS512', apply: by(rsa, 'PS512'), isGood: true },
  { name: 'typ JWT', apply: head({ typ: 'JWT' }), isGood: true },
  { name: 'typ JOSE', apply: head({ typ: 'JOSE' }), isGood: true },
  { name: 'a list of audiences', apply: body({ aud: ['x', 'payments'] }), isGood: true },
  { name: 'an issuer', apply: body({ iss: 'https://spire.example' }), isGood: true },
  { name: 'an iat and a jti', apply: body(() => ({ iat: seconds(), jti: 'a' })), isGood: true },
  { name: 'an nbf that has passed', apply: body(() => ({ nbf: seconds() - 5 })), isGood: true },
  { name: 'a fraction of a second', apply: body(() => ({ exp: seconds() + 100.5 })), isGood: true },
  {
    name: 'the (r, n-s) twin',
    apply: finished((token) => (token.split('.')[2]?.length === 86 ? malleableTwin(token) : token)),
    isGood: true,
  },
  { name: 'an unknown header member', apply: head({ 'x-a': 1 }), isGood: true },
  { name: 'alg none', apply: head({ alg: 'none' }) },
  { name: 'alg HS256', apply: head({ alg: 'HS256' }) },
  { name: 'alg in lower case', apply: head({ alg: 'es256' }) },
  { name: 'EdDSA with a key of the bundle', apply: by(edwards) },
  { name: 'alg of another kind of key', apply: head({ alg: 'RS256' }) },
  { name: 'no alg', apply: head({ alg: undefined }) },
  { name: 'no kid', apply: head({ kid: undefined }) },
  { name: 'an empty kid', apply: head({ kid: '' }) },
  { name: 'an unknown kid', apply: head({ kid: 'prod-ES256x' }) },
  { name: 'a kid that is a path', apply: head({ kid: '../prod-ES256' }) },
  { name: 'the kid of another trust domain', apply: head({ kid: 'partner-1' }) },
  { name: 'a key of another trust domain', apply: by(partner) },
  { name: 'a stranger under the kid', apply: by(stranger) },
  { name: 'typ jwt', apply: head({ typ: 'jwt' }) },
  { name: 'typ at+jwt', apply: head({ typ: 'at+jwt' }) },
  { name: 'typ wit+jwt', apply: head({ typ: 'wit+jwt' }) },
  { name: 'an empty typ', apply: head({ typ: '' }) },
  { name: 'typ a number', apply: head({ typ: 1 }) },
  { name: 'crit exp', apply: head({ crit: ['exp'] }) },
  { name: 'b64 false', apply: head({ b64: false, crit: ['b64'] }) },
  { name: 'no sub', apply: body({ sub: undefined }) },
  { name: 'an empty sub', apply: body({ sub: '' }) },
  { name: 'a number as sub', apply: body({ sub: 1 }) },
  { name: 'a sub that is no SPIFFE id', apply: body({ sub: 'bot' }) },
  { name: 'a sub in upper case', apply: body({ sub: 'SPIFFE://prod.example/a' }) },
  { name: 'a trust domain in upper case', apply: body({ sub: 'spiffe://PROD.example/a' }) },
  { name: 'dot segments in sub', apply: body({ sub: 'spiffe://prod.example/../a' }) },
  { name: 'a trailing slash in sub', apply: body({ sub: 'spiffe://prod.example/a/' }) },
  { name: 'a sub of another trust domain', apply: body({ sub: 'spiffe://partner.example/a' }) },
  { name: 'a sub without bundle', apply: body({ sub: 'spiffe://evil.example/a' }) },
  { name: 'another audience', apply: body({ aud: 'x' }) },
  { name: 'no audience', apply: body({ aud: undefined }) },
  { name: 'an empty audience', apply: body({ aud: [] }) },
  { name: 'an audience in upper case', apply: body({ aud: 'PAYMENTS' }) },
  { name: 'a number as audience', apply: body({ aud: 7 }) },
  { name: 'a number among the audiences', apply: body({ aud: ['payments', 7] }) },
  { name: 'no exp', apply: body({ exp: undefined }) },
  { name: 'an exp of long ago', apply: body(() => ({ exp: seconds() - 300 })) },
  { name: 'a text as exp', apply: body({ exp: 'soon' }) },
  { name: 'an nbf to come', apply: body(() => ({ nbf: seconds() + 300 })) },
  { name: 'an iat to come', apply: body(() => ({ iat: seconds() + 300 })) },
  { name: 'a payload that is a list', apply: spelled({ payload: (json) => `[${json}]` }) },
  { name: 'no JSON', apply: spelled({ payload: (json) => json.slice(1) }) },
  { name: 'a header that is a text', apply: spelled({ header: () => '"x"' }) },
  { name: 'two parts', apply: partsOf((parts) => parts.slice(0, 2)) },
  { name: 'four parts', apply: partsOf((parts) => [...parts, 'AA']) },
  { name: 'five parts', apply: partsOf((parts) => [...parts, 'AA', 'AA']) },
  { name: 'no signature', apply: partsOf(([a = '', b = '']) => [a, b, '']) },
  {
    name: 'a zero signature',
    apply: partsOf(([a = '', b = '']) => [a, b, base64url(Buffer.alloc(64))]),
  },
  {
    name: 'a signature of 63 bytes',
    apply: partsOf(([a = '', b = '', c = '']) => [
      a,
      b,
      base64url(Buffer.from(c, 'base64url').subarray(1)),
    ]),
  },
  {
    name: 'another payload',
    apply: partsOf(([a = '', , c = '']) => [
      a,
      base64url(JSON.stringify({ sub: `${bot}2`, aud: 'payments', exp: seconds() + 200 })),
      c,
    ]),
  },
  { name: 'an empty token', apply: finished(() => '') },
  { name: 'padding', apply: finished((token) => `${token}=`) },
  { name: 'a blank inside', apply: finished((token) => `${token.slice(0, 9)} ${token.slice(9)}`) },
  // go-spiffe takes these.
  { name: 'a line end behind it', apply: finished((token) => `${token}\n`), stricter: shape },
  {
    name: 'a line end inside',
    apply: finished((token) => `${token.slice(0, 9)}\n${token.slice(9)}`),
    stricter: shape,
  },
  { name: 'another spelling of the last character', apply: finished(respelled), stricter: shape },
  { name: 'a jwk in the header', apply: head({ jwk: jwk(stranger) }), stricter: once },
  { name: 'a jku in the header', apply: head({ jku: 'https://evil.example' }), stricter: once },
  { name: 'an x5u in the header', apply: head({ x5u: 'https://evil.example' }), stricter: once },
  { name: 'a nested token by cty', apply: head({ cty: 'JWT' }), stricter: once },
  {
    name: 'a sub without path',
    apply: body({ sub: 'spiffe://prod.example' }),
    stricter: 'SPIFFE-ID §2.2: a workload has a path',
  },
  {
    name: 'an exp half a minute ago',
    apply: body(() => ({ exp: seconds() - 30 })),
    stricter: 'JWT-SVID §3: a small leeway; 5 s here, a minute there',
  },
  {
    name: 'a claim twice',
    apply: spelled({ payload: (json) => json.replace('{', '{"sub":"spiffe://prod.example/x",') }),
  },
  {
    name: 'an integer beyond 2^53',
    apply: spelled({ payload: (json) => json.replace('{', '{"n":9007199254740993,') }),
    stricter: strictJson,
  },
  {
    name: 'security events',
    apply: spelled({ payload: (json) => json.replace('{', '{"events":{},') }),
    stricter: 'RFC 8417 §2: a security event is no access token',
  },
  { name: 'a null nbf', apply: body({ nbf: null }), stricter: types },
  { name: 'an nbf as a text', apply: body(() => ({ nbf: String(seconds() - 5) })) },
];

function build(applied: readonly Change[]): string {
  const draft: Draft = {
    header: { alg: 'ES256', kid: ec.kid },
    payload: { sub: bot, aud: 'payments', exp: seconds() + 600 },
    key: ec,
    finish: (token) => token,
    spell: {},
  };
  for (const { apply } of applied) apply(draft);
  const text = (part: 'header' | 'payload') =>
    (draft.spell[part] ?? ((json: string) => json))(JSON.stringify(draft[part]));
  return draft.finish(signRaw(text('header'), text('payload'), draft.key));
}

const trust: GoTrust = {
  audience: ['payments'],
  bundles: Object.fromEntries(
    Object.entries(domains).map(([name, keys]) => [
      name,
      { jwks: jwksOf(keys), authorities: new Uint8Array() },
    ]),
  ),
};

/** The same keys, from SPIFFE bundle documents. */
function ownBundles() {
  const parsed = Object.entries(domains).map(([name, keys]) => {
    const bundle = parseSpiffeBundle(jwksOf(keys, 'jwt-svid'));
    if (typeof bundle === 'string') throw new Error(bundle);
    return [name, bundle] as const;
  });
  return staticBundles(new Map(parsed));
}

describeGo("go-spiffe's validator and this one, of the same JWT-SVIDs", () => {
  let program: string;
  before(function () {
    this.timeout(300_000);
    program = buildGoSpiffe();
  });

  const trustDomains = new Set(['prod.example', 'partner.example', 'evil.example']);
  const identifier = identifierOf({
    token: { issuers: [], trustDomains, bundles: ownBundles() },
  });
  const opinions = async (tokens: readonly string[]) => {
    const own = await Promise.all(
      tokens.map(async (token) =>
        outcomeOf(await identifier.identify(bearer(token), context('c', Date.now()))),
      ),
    );
    const questions = tokens.map((value) => ({ kind: 'jwt' as const, value }));
    const [first = { kind: 'jwt' as const, value: '' }, ...rest] = questions;
    const go = askGo(program, [{ ...first, trust }, ...rest]);
    return tokens.map((_, index) => {
      const said = go[index];
      return { own: own[index] ?? '', go: said?.ok === true ? said.id : '', why: said?.why };
    });
  };
  const isGood = (own: string) => own.startsWith('spiffe://');

  for (const change of changes) {
    const { stricter } = change;
    const verb = change.isGood ? 'accepted by both' : stricter ? 'refused here' : 'refused by both';
    it(`${change.name}: ${verb}${stricter === undefined ? '' : `, by ${stricter}`}`, async () => {
      const [said] = await opinions([build([change])]);
      const want = {
        own: change.isGood === true,
        go: change.isGood === true || stricter !== undefined,
      };
      expect(
        { own: isGood(said?.own ?? ''), go: said?.go !== '' },
        `here: ${said?.own}; go-spiffe: ${said?.why}`,
      ).to.deep.equal(want);
    });
  }

  it('are never laxer here, nor stricter without a named rule, over seeded pairs of those changes', async () => {
    const pairs = fc.sample(
      fc.uniqueArray(fc.constantFrom(...changes), { minLength: 2, maxLength: 3 }),
      { seed: 20261124, numRuns: 900 },
    );
    const said = await opinions(pairs.map(build));
    const unexplained = said.flatMap(({ own, go, why }, index) => {
      const applied = pairs[index] ?? [];
      const isExplained = applied.some(({ stricter }) => stricter !== undefined);
      const isLaxer = isGood(own) && own !== go;
      const isStricter = !isGood(own) && go !== '' && !isExplained;
      return isLaxer || isStricter
        ? [`${applied.map(({ name }) => name).join(' + ')}: ${own}; ${why ?? go}`]
        : [];
    });
    expect(unexplained).to.deep.equal([]);
    expect(said.filter(({ own }) => isGood(own))).to.have.length.greaterThan(30);
    expect(said.filter(({ go }) => go === '')).to.have.length.greaterThan(300);
  }).timeout(60_000);
});
