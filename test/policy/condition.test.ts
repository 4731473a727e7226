import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseSpiffeId } from '../../src/identity/spiffe-id.js';
import type { JsonObject } from '../../src/json/json-value.js';
import { checkSource } from '../../src/policy/check-source.js';
import { type ConditionInput, createCondition } from '../../src/policy/condition.js';
import { conditionEngine } from '../../src/policy/condition-engine.js';
import { compileTimeWindow, type TimeWindow } from '../../src/policy/time-window.js';
import { httpRequest } from './requests.js';

const windows = new Map<string, TimeWindow>();
const days = ['mon', 'tue', 'wed', 'thu', 'fri'] as const;
const office = { timezone: 'Europe/Stockholm', days: [...days], from: '09:00', to: '16:00' };
const compiledOffice = compileTimeWindow('office', office);
if (compiledOffice !== undefined) windows.set('office', compiledOffice);

const scope = {
  captures: ['tenant'],
  facts: { environment: 'staging' },
  dataFiles: ['partners'],
  windows,
};

function spiffeId(text: string) {
  const id = parseSpiffeId(text);
  if (typeof id === 'string') throw new Error(id);
  return id;
}

const claims: JsonObject = JSON.parse(
  '{"text":"abc","number":5,"list":["a"],"map":{"a":1},"flag":"true","none":null,"__proto__":{"admin":true}}',
);

/** What a condition sees, with a token whose claims are `claims`; a Monday at 10:30 in Stockholm. */
const input: ConditionInput = {
  request: httpRequest('api.example', '/t/acme', {
    path: { raw: '/%74/acme', segments: ['t', 'acme'] },
    rawQuery: 'role=a&role=b',
    destination: { principal: 'spiffe://prod.example/ns/a/sa/b', ip: '10.0.0.1', port: 443 },
    startedAtMs: Date.parse('2026-11-23T09:30:00Z'),
  }),
  captures: { tenant: 'acme' },
  caller: {
    peer: { spiffeId: spiffeId('spiffe://prod.example/ns/pay/sa/bot'), certificate: undefined },
    token: {
      kind: 'jwt',
      id: 'corp:spiffe://prod.example/ns/x/sa/y',
      issuer: 'corp',
      subject: 'spiffe://other.example/ns/x/sa/y',
      spiffeId: undefined,
      claims,
      actor: undefined,
      scopes: ['read'],
      jti: undefined,
      keyId: undefined,
      issuedAt: undefined,
      expiresAt: 0,
      proof: 'none',
      header: 'authorization',
    },
  },
  principal: 'bot',
  mcp: undefined,
  body: undefined,
  approvalClaims: undefined,
  posture: undefined,
  facts: scope.facts,
  data: { partners: { acme: { limit: 5 } } },
  nowMs: 0,
};

/** `true`, `false`, `error`, or the faults found at load. */
function evaluate(when: string): string {
  const checked = checkSource(when, scope);
  if (!('source' in checked)) {
    return checked.map(({ offset, message }) => `${offset}: ${message}`).join('; ');
  }
  const value = createCondition(checked, scope.windows, conditionEngine).evaluate(input);
  return typeof value === 'boolean' ? String(value) : 'error';
}

const rows: readonly (readonly [when: string, want: string])[] = [
  // A SPIFFE id.
  ['peer.spiffeId.isSpiffe("spiffe://prod.example/ns/*/sa/bot")', 'true'],
  ['peer.spiffeId.isSpiffe("spiffe://prod.example/ns/pay")', 'false'],
  ['"no id".isSpiffe("spiffe://prod.example/**")', 'false'],
  ['peer.trustDomain == "prod.example" && peer.segments[1] == "pay"', 'true'],
  ['spiffe(destination.spiffeId).trustDomain == peer.trustDomain', 'true'],
  ['spiffe(token.subject).trustDomain == "other.example"', 'true'],
  ['spiffe(token.subject).segments[3] == "y"', 'true'],
  ['"x" in spiffe(token.subject).segments', 'true'],
  ['spiffe(token.subject).segments == ["ns", "x", "sa", "y"]', 'true'],
  ['spiffe(token.claims.text).trustDomain == "abc"', 'error'],
  [
    'spiffe("spiffe://UPPER/x").trustDomain == "x"',
    '0: a trust domain has lower-case letters, digits, "-", "." and "_" only',
  ],
  // Networks.
  ['destination.ip.inCidr("10.0.0.0/8")', 'true'],
  [
    'destination.ip.inCidr("10.0.0.0/33")',
    '14: the prefix of an IPv4 CIDR is a number from 0 to 32',
  ],
  ['token.claims.text.inCidr("10.0.0.0/8")', 'false'],
  // Windows: the time is what it is asked about, never the clock.
  ['inWindow("office", request.time)', 'true'],
  ['inWindow("office", timestamp("2026-11-22T09:30:00Z"))', 'false'],
  ['inWindow("office", timestamp("2026-11-23T15:00:00Z"))', 'false'],
  ['inWindow("office", token.claims.text)', 'error'],
  ['inWindow("night", request.time)', '0: inWindow() names a window of the policy'],
  // The path as rules match it.
  ['request.path == "/t/acme"', 'true'],
  ['request.path.startsWith("/t/")', 'true'],
  // Types that never meet.
  ['"a" in request.path', '3: "in" asks a list or a map; this is a string'],
  ['source.port.startsWith("1")', '11: startsWith() is asked of a text; this is a number'],
  ['request.method == 5', '15: a string and a number are never equal'],
  ['token.scopes == "read"', '13: a list and a string are never equal'],
  ['request.time > "2026"', '13: a timestamp and a string are never equal'],
  ['path.tenant', '4: a condition is true or false; this is a string'],
  ['facts.environment == true', '18: a string and a bool are never equal'],
  // Values whose type is known at the request only: an error is no match.
  ['"a" in token.claims.text', 'error'],
  ['"a" in token.claims.list', 'true'],
  ['"a" in token.claims.map', 'true'],
  ['token.claims.number == 5', 'true'],
  ['token.claims.number == "5"', 'false'],
  ['token.claims.number > "4"', 'error'],
  ['token.claims.flag', 'error'],
  ['token.claims.none == null', 'true'],
  ['token.claims.text.startsWith(token.claims.number)', 'error'],
  ['request.query.role == ["a", "b"]', 'true'],
  ['request.query.role == "a"', 'false'],
  // Names of every object are no members.
  ['has(token.claims.constructor)', 'false'],
  ['has(token.claims.toString)', 'false'],
  ['"valueOf" in token.claims', 'false'],
  ['has(token.claims.admin)', 'false'],
  ['token.claims.constructor != "x"', 'error'],
  ['data.partners["constructor"] != "x"', 'error'],
  ['"__proto__" in data.partners', 'false'],
  ['has(request.headers.toString)', 'false'],
  // What is absent.
  ['token.claims.missing != "x"', 'error'],
  ['!has(token.claims.missing)', 'true'],
  ['has(token.actor)', 'false'],
  ['token.actor.role == "x"', 'error'],
  ['request.body == 1', 'error'],
  ['approval.claims.approver == "x"', 'error'],
  ['posture.owner == "x"', 'error'],
  ['mcp.tool == "x"', 'error'],
  [
    'peer == approval',
    '0: "peer" is compared by its members; 8: "approval" is compared by its members',
  ],
  ['posture == {}', '0: "posture" is compared by its members'],
  ['mcp == {}', '0: "mcp" is compared by its members'],
];

describe('a condition', () => {
  for (const [when, want] of rows) {
    it(`${when}: ${want}`, () => expect(evaluate(when)).to.equal(want));
  }
});
