import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Caller } from '../../src/identity/caller.js';
import { compilePolicies } from '../../src/policy/compile.js';
import { conditionEngine } from '../../src/policy/condition-engine.js';
import { assemblePolicies } from '../../src/policy/policy-draft.js';
import type { PolicySet } from '../../src/policy/policy-set.js';
import { finish } from '../../src/policy/steps.js';
import { connection, httpRequest } from './requests.js';

const first = `version: 1
policy: first
mode: shadow
principals:
  bot: { spiffe: "spiffe://prod.example/ns/*/sa/bot", via: mtls }
  agent: { jwt: { issuer: corp, subject: "agent-*", claims: { kind: [agent, 5], nested: { on: true } } } }
windows:
  change: { timezone: Europe/Stockholm, days: [mon], from: "09:00", to: "16:00" }
rules:
  - { id: a, effect: permit, mode: enforce, principals: [bot, agent], methods: [GET], paths: ["/a/{x}", "/b/**/c"], hosts: ["*.example", "a.test:8443"], controls: [C-1], description: text }
  - { id: b, effect: permit, principals: [agent], paths: ["/a/{x}"], when: 'path.x == token.claims.tenant && request.headers["x-a"] == "1" && inWindow("change", request.time)', during: [change], source: [10.0.0.0/8] }
  - { id: c, effect: deny, paths: ["/**"], upgrade: [websocket] }
`;
const second = `version: 1
policy: second
rules:
  - { id: d, effect: permit, principals: [anyone], grpc: [shop.Orders/Get] }
  - { id: e, effect: permit, principals: [authenticated], paths: [/mcp], mcp: { methods: [tools/call], tools: ["get_*"], onlyArguments: [a] } }
  - { id: f, effect: permit, principals: [anyone], tcp: { ports: [5432], sni: ["*.example"] } }
  - { id: g, effect: permit, principals: [anyone], paths: [/a/1], require: { approval: { from: board }, posture: { status: [active], maxAge: 1h }, maxTokenAge: 5m, proof: dpop } }
`;
const scope = { issuers: ['corp'], approvals: ['board'], facts: { a: 1 }, dataFiles: [] };

function sets() {
  const files = [
    { file: 'first.yaml', text: first },
    { file: 'second.yaml', text: second },
  ];
  const result = compilePolicies(files, scope);
  if (!result.ok) throw new Error(JSON.stringify(result.findings));
  const draft = structuredClone(result.draft());
  const portions = structuredClone([...result.portions()]);
  const assembled = finish(assemblePolicies(draft, portions, conditionEngine));
  return { compiled: result.set, assembled, draft, portions };
}

/** Everything that a rule says of itself, functions left out. */
const plain = (set: PolicySet) =>
  JSON.parse(
    JSON.stringify(set, (_, value: unknown) =>
      value instanceof Set || value instanceof Map ? [...value] : value,
    ),
  );

const bot: Caller = {
  peer: {
    spiffeId: {
      text: 'spiffe://prod.example/ns/a/sa/bot',
      trustDomain: 'prod.example',
      segments: ['ns', 'a', 'sa', 'bot'],
    },
    certificate: undefined,
  },
  token: undefined,
};

function decided(set: PolicySet) {
  const requests = [
    httpRequest('api.example', '/a/1'),
    httpRequest('a.test:8443', '/b/u/v/c'),
    httpRequest('a.test', '/shop.Orders/Get', { method: 'POST' }),
    httpRequest('a.test', '/mcp', { upgrade: ['websocket'] }),
    connection('db.example', 5432),
  ];
  return requests.map((request) =>
    set.candidates(request).map(({ rule, captures }) => ({
      id: rule.id,
      captures,
      matches: request.kind === 'http' && rule.route.matches(request, undefined),
      who: rule.principals.map((principal) => principal.match(bot)),
      isOpen: rule.during?.map((window) => window.contains(Date.UTC(2026, 10, 23, 10))),
      isNear: rule.source?.contains('10.1.2.3'),
    })),
  );
}

describe('a policy set that crossed to another thread', () => {
  it('has the same revision and the same rules in the same order', () => {
    const { compiled, assembled } = sets();
    expect(assembled.rules.map(({ id }) => id)).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
    expect(plain(assembled)).to.deep.equal(plain(compiled));
  });

  it('finds and matches the same', () => {
    const { compiled, assembled } = sets();
    expect(decided(compiled).map((found) => found.length)).to.deep.equal([4, 2, 2, 2, 1]);
    expect(decided(assembled)).to.deep.equal(decided(compiled));
  });

  it('is refused whole where a rule of it has a fault', () => {
    const { draft, portions } = sets();
    const broken = portions.map((portion) => ({
      ...portion,
      rules: portion.rules.map((rule) => rule && { ...rule, paths: ['no path'] }),
    }));
    expect(() => finish(assemblePolicies(draft, broken, conditionEngine))).to.throw('bad_path');
  });

  it('is refused whole where rules of it are missing', () => {
    const { draft, portions } = sets();
    const some = portions.slice(1);
    expect(() => finish(assemblePolicies(draft, some, conditionEngine))).to.throw('were received');
  });
});
