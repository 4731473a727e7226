import { verify } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import { base64url, claims, corpKey, corpToken, malleableTwin, now, signRaw } from './fixtures.js';
import { ok, outcome } from './token-table.js';

/** Good tokens of several callers, between which parts can be swapped. */
const goods = ['agent-7', 'agent-8', 'agent-9'].map((sub) => corpToken({ sub, jti: sub }));
const originals = goods.map((token) => token.split('.').slice(0, 2).join('.'));

/**
 * The independent opinion: the very bytes of a good header and payload, under a signature of 64
 * bytes in its one spelling that node:crypto verifies.
 */
function isSameToken(token: string): boolean {
  const parts = token.split('.');
  const [head = '', body = '', signature = ''] = parts;
  const bytes = Buffer.from(signature, 'base64url');
  const key = { key: corpKey.publicKey, dsaEncoding: 'ieee-p1363' as const };
  return (
    parts.length === 3 &&
    originals.includes(`${head}.${body}`) &&
    bytes.length === 64 &&
    bytes.toString('base64url') === signature &&
    verify('sha256', Buffer.from(`${head}.${body}`), key, bytes)
  );
}

const good = fc.constantFrom(...goods);
const place = fc.nat({ max: 2 ** 20 });
const inside = (text: string, at: number) => at % Math.max(1, text.length);
const splice = (text: string, at: number, removed: number, put: string) =>
  text.slice(0, inside(text, at)) + put + text.slice(inside(text, at) + removed);
const mapPart = (token: string, at: number, change: (part: string) => string) =>
  token
    .split('.')
    .map((part, index) => (index === at % 3 ? change(part) : part))
    .join('.');

/** JSON of the same meaning, or nearly, in another spelling. */
const respell: readonly ((json: string) => string)[] = [
  (json) => ` ${json}`,
  (json) => `${json}\n`,
  (json) => `\uFEFF${json}`,
  (json) => json.replaceAll(',"', ' , "'),
  (json) => json.replace('"sub"', '"\\u0073ub"'),
  (json) => json.replace('"alg"', '"\\u0061lg"'),
  (json) => json.replace('{', '{"sub":"admin",'),
  (json) => json.replace('}', ',"sub":"admin"}'),
  (json) => json.replace('}', ',"alg":"none"}'),
  (json) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(json)).reverse())),
];

/** The same bytes, or nearly, as other decoders of base64 would take them. */
const reencode: readonly ((part: string) => string)[] = [
  (part) => `${part}=`,
  (part) => `${part}==`,
  (part) => part.replaceAll('-', '+').replaceAll('_', '/'),
  (part) => `${part.slice(0, 8)}\n${part.slice(8)}`,
  (part) => `${part.slice(0, 8)} ${part.slice(8)}`,
  (part) => part.slice(0, -1) + String.fromCharCode((part.at(-1) ?? 'A').charCodeAt(0) + 1),
  (part) => Buffer.from(part, 'base64url').toString('hex'),
  (part) => encodeURIComponent(part),
  (part) => `${part}\u0000`,
];

const variants = fc.oneof(
  fc.tuple(good, place, fc.nat({ max: 7 })).map(([token, at, bit]) => {
    const code = token.charCodeAt(inside(token, at)) ^ (1 << bit);
    return splice(token, at, 1, String.fromCharCode(code));
  }),
  fc.tuple(good, place, place, fc.nat({ max: 7 })).map(([token, part, at, bit]) =>
    mapPart(token, part, (text) => {
      const bytes = Buffer.from(text, 'base64url');
      const index = at % bytes.length;
      bytes.writeUInt8(bytes.readUInt8(index) ^ (1 << bit), index);
      return base64url(bytes);
    }),
  ),
  fc
    .tuple(good, place, fc.nat({ max: 9 }), fc.string({ maxLength: 6 }))
    .map(([token, at, removed, put]) => splice(token, at, removed, put)),
  fc
    .tuple(good, place, fc.constantFrom(...reencode))
    .map(([token, part, change]) => mapPart(token, part, change)),
  fc
    .tuple(good, place, fc.constantFrom(...respell))
    .map(([token, part, change]) =>
      mapPart(token, part % 2, (text) =>
        base64url(change(Buffer.from(text, 'base64url').toString())),
      ),
    ),
  fc.tuple(good, good, good).map(([a, b, c]) => {
    const parts = [a, b, c].map((token, index) => token.split('.')[index]);
    return parts.join('.');
  }),
  good.map(malleableTwin),
  good,
);

/** Any JSON value, good ones of the registered claims among them. */
const anything = fc.oneof(
  fc.constantFrom('https://idp.example', 'payments', 'agent-7', now, now + 240, now - 60, 'j-1'),
  fc.constantFrom(null, true, '', 0, -1, 1e300, [], {}, ['payments'], ['x', 'payments']),
  fc.constantFrom(['payments', 7], [['payments']], { payments: true }, 'PAYMENTS', 'payments2'),
  fc.constantFrom(String(now + 240), now - 6, now - 5, now - 4, now + 4, now + 5, now + 6),
  fc.constantFrom({ sub: 'a' }, { act: { sub: 'b' } }, ['sub'], 'https://idp.example/'),
  fc.jsonValue({ maxDepth: 2 }),
);
const names = ['iss', 'aud', 'sub', 'iat', 'exp', 'nbf', 'jti', 'act', 'nonce', 'events', 'cnf'];

type Claims = Readonly<Record<string, unknown>>;
const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Math.abs(value) <= 8.64e12;
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
const tolerance = 5;

/** RFC 7519 and PRODUCT.md for the issuer of `fixtures.ts`, written again and slowly. */
const demands: readonly ((claims: Claims) => boolean)[] = [
  ({ iss }) => iss === 'https://idp.example',
  ({ aud }) =>
    Array.isArray(aud)
      ? aud.every((one) => typeof one === 'string') && aud.includes('payments')
      : aud === 'payments',
  ({ sub }) => isText(sub),
  ({ exp }) => isTime(exp) && now < exp + tolerance,
  ({ nbf }) => nbf === undefined || (isTime(nbf) && now >= nbf - tolerance),
  ({ iat }) => iat === undefined || (isTime(iat) && now >= iat - tolerance),
  ({ jti }) => jti === undefined || isText(jti),
  ({ act }) =>
    act === undefined || (typeof act === 'object' && act !== null && !Array.isArray(act)),
  (claims) => !/(?<![\d.eE+"])\d{16,}(?![\d.eE])/.test(JSON.stringify(claims)),
  (claims) => !('nonce' in claims) && !('events' in claims) && !('cnf' in claims),
];

describe('tokens under a seeded fuzz', () => {
  it('permits no variant but those that an independent checker calls the same token', async () => {
    const counted = { same: 0, other: 0 };
    await fc.assert(
      fc.asyncProperty(variants, async (token) => {
        const said = await outcome(token);
        const isPermitted = said.startsWith('corp:');
        const isSame = isSameToken(token);
        counted[isSame ? 'same' : 'other'] += 1;
        expect(isPermitted, `${token} was answered with ${said}`).to.equal(isSame);
      }),
      { seed: 20261124, numRuns: 6000 },
    );
    expect(counted.same).to.be.greaterThan(500);
    expect(counted.other).to.be.greaterThan(3000);
  }).timeout(60_000);

  it('takes signed claims of any types exactly where a second reading of the rules does', async () => {
    const changes = fc.dictionary(fc.constantFrom(...names), anything, { minKeys: 1, maxKeys: 3 });
    const counted = { good: 0, bad: 0 };
    await fc.assert(
      fc.asyncProperty(changes, async (changed) => {
        const signed = { ...claims(), ...changed };
        const isGood = demands.every((demand) => demand(signed));
        counted[isGood ? 'good' : 'bad'] += 1;
        const said = await outcome(corpToken(changed));
        expect(said.startsWith('corp:'), `${JSON.stringify(signed)}: ${said}`).to.equal(isGood);
      }),
      { seed: 20261124, numRuns: 4000 },
    );
    expect(counted.good).to.be.greaterThan(100);
    expect(counted.bad).to.be.greaterThan(1000);
  }).timeout(60_000);

  it('takes signed headers only with the algorithm, key and type it expects, and nothing more', async () => {
    const typ = fc.constantFrom('JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'dpop+jwt', '', 5);
    const alg = fc.constantFrom('ES256', 'es256', 'none', 'HS256', 'ES384', 'RS256', 256, null);
    const kid = fc.constantFrom('corp-1', 'CORP-1', '../corp-1', '', 7, null);
    const edits = fc.record(
      {
        typ,
        alg,
        kid,
        crit: fc.constantFrom([], ['exp']),
        jku: fc.webUrl(),
        b64: fc.boolean(),
        extra: fc.jsonValue({ maxDepth: 1 }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(edits, async (edit) => {
        const header = { alg: 'ES256', kid: 'corp-1', typ: 'JWT', ...edit };
        const isGood =
          header.alg === 'ES256' &&
          header.kid === 'corp-1' &&
          ['JWT', 'jwt', 'at+jwt', 'application/at+jwt'].includes(String(header.typ)) &&
          !['crit', 'jku', 'b64'].some((name) => name in edit);
        const said = await outcome(signRaw(header, claims(), corpKey));
        expect(said === ok, `${JSON.stringify(header)}: ${said}`).to.equal(isGood);
      }),
      { seed: 20261124, numRuns: 3000 },
    );
  }).timeout(60_000);
});
