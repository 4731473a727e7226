import { expect } from 'chai';
import { describe, it } from 'mocha';
import { compilePolicies, type PolicyText } from '../../src/policy/compile.js';
import { httpRequest } from './requests.js';

const scope = {
  issuers: ['corp'],
  approvals: ['change-board'],
  facts: { environment: 'staging' },
  dataFiles: [],
};

function findings(...files: readonly PolicyText[]) {
  const compiled = compilePolicies(files, scope);
  const found = compiled.ok ? compiled.warnings : compiled.findings;
  return found.map(({ file, line, column, code }) => `${file}:${line}:${column} ${code}`);
}

function revision(files: readonly PolicyText[], facts = scope.facts): string {
  const compiled = compilePolicies(files, { ...scope, facts });
  return compiled.ok ? compiled.set.revision : '';
}

const head = (policy: string) => `version: 1\npolicy: ${policy}\nrules:\n`;
const one = { file: 'a.yaml', text: `${head('a')}  - { id: a, effect: deny, paths: [/a] }\n` };
const two = { file: 'b.yaml', text: `${head('b')}  - { id: b, effect: deny, paths: ["/{x}"] }\n` };

/** Every policy key of the language's own example, with rules of each kind beside it. */
const example = `version: 1
policy: payments
principals:
  reporting:     { spiffe: "spiffe://prod.example/ns/reports/sa/*" }
  payments-bot:  { spiffe: "spiffe://prod.example/ns/payments/sa/bot", via: mtls }
  support-agent: { jwt: { issuer: corp, subject: "agent-*", claims: { kind: agent } } }
  release-robot: { jwt: { issuer: corp, subject: ci-robot, actor: { claims: { role: release-manager } } } }
  partner:       { jwt: { issuer: corp, subject: partner-acme } }
windows:
  change: { timezone: Europe/Stockholm, days: [mon, tue, wed, thu], from: "09:00", to: "16:00" }
rules:
  - id: reports-read
    effect: permit
    principals: [reporting]
    methods: [GET, HEAD]
    paths: [/payments, "/payments/{id}"]
  - id: payments-write
    effect: permit
    principals: [payments-bot]
    methods: [POST, DELETE]
    paths: ["/payments/**"]
    require: { approval: { from: change-board } }
  - id: customer-context
    effect: permit
    principals: [support-agent]
    methods: [GET]
    paths: ["/tenants/{tenant}/customers/{customer}"]
    when: token.claims.tenant == path.tenant && path.customer in token.claims.customers
  - id: mint-secret
    effect: permit
    principals: [release-robot]
    methods: [POST]
    paths: [/secrets]
    during: [change]
    when: facts.environment == "staging"
  - id: partner-orders
    effect: permit
    principals: [partner]
    methods: [POST]
    paths: [/webhooks/orders]
    source: [203.0.113.0/24]
    require: { posture: { status: [active], secretStatus: [ok], maxAge: 24h } }
  - id: crm-tools
    effect: permit
    principals: [support-agent]
    paths: [/mcp]
    mcp: { methods: [tools/call], tools: [get_customer], onlyArguments: [tenant, customer_id] }
    when: mcp.arguments.tenant == token.claims.tenant
  - id: no-bulk-export
    effect: deny
    paths: ["/**/export"]
    when: '!("exporter" in token.claims.roles)'
`;

describe('policy files', () => {
  it('load as the documented example, with a warning of the one path that its deny leaves open', () => {
    const said = findings({ file: 'payments.yaml', text: example });
    expect(said).to.deep.equal(['payments.yaml:49:5 deny_slash']);
    const closed = example.replace('["/**/export"]', '["/**/export", "/**/export/"]');
    expect(findings({ file: 'payments.yaml', text: closed })).to.deep.equal([]);
  });

  it('compile to rules in the order of the files, each with its place', () => {
    const compiled = compilePolicies([one, two], scope);
    const rules = compiled.ok ? compiled.set.rules : [];
    const said = rules.map(({ id, policy, order, at }) => [id, policy, order, at.file, at.line]);
    expect(said).to.deep.equal([
      ['a', 'a', 0, 'a.yaml', 4],
      ['b', 'b', 1, 'b.yaml', 4],
    ]);
  });

  it('are one set: a request finds rules of several files, in file order', () => {
    const compiled = compilePolicies([two, one], scope);
    const found = compiled.ok ? compiled.set.candidates(httpRequest('x', '/a')) : [];
    expect(found.map(({ rule, captures }) => [rule.id, { ...captures[0] }])).to.deep.equal([
      ['b', { x: 'a' }],
      ['a', {}],
    ]);
  });

  it('may be none: a set without rules denies everything', () => {
    const compiled = compilePolicies([], scope);
    expect(compiled.ok && compiled.set.candidates(httpRequest('x', '/')).length).to.equal(0);
  });

  it('give the file its mode, which a rule overrides', () => {
    const text = `version: 1\npolicy: p\nmode: shadow\nrules:\n  - { id: a, effect: deny }\n  - { id: b, effect: deny, mode: enforce }\n`;
    const compiled = compilePolicies([{ file: 'p.yaml', text }], scope);
    const modes = compiled.ok ? compiled.set.rules.map(({ mode }) => mode) : [];
    expect(modes).to.deep.equal(['shadow', 'enforce']);
  });
});

describe('the revision', () => {
  it('is the same for the same files', () => {
    expect(revision([one, two])).to.match(/^[0-9a-f]{12}$/);
    expect(revision([one, two])).to.equal(revision([one, two]));
  });

  it('is another for another content, order, split or fact', () => {
    const moved = { file: 'a.yaml', text: one.text.replace('/a', '/b') };
    const others = [
      revision([one, two]),
      revision([two, one]),
      revision([one]),
      revision([moved, two]),
      revision([one, two], { environment: 'production' }),
    ];
    expect(new Set(others).size).to.equal(others.length);
  });
});

describe('everything that is wrong', () => {
  it('is said at once, of all files, in order of place', () => {
    const a = `${head('a')}  - { id: x, effect: permit, principals: [bto], metods: [GET] }
  - { id: y, effect: deny, source: [10.0.0.0/33], paths: [a] }
  - { id: y, effect: deny, during: [change] }
`;
    const b = `${head('b')}  - { id: x, effect: permit }\n  - { id: z, effect: allow }\n`;
    expect(findings({ file: 'b.yaml', text: b }, { file: 'a.yaml', text: a })).to.deep.equal([
      'a.yaml:4:11 duplicate_rule_id',
      'a.yaml:4:43 unknown_principal',
      'a.yaml:4:49 unknown_key',
      'a.yaml:5:37 bad_cidr',
      'a.yaml:5:59 bad_path',
      'a.yaml:6:11 duplicate_rule_id',
      'a.yaml:6:37 unknown_window',
      'b.yaml:4:5 missing_principals',
      'b.yaml:5:22 wrong_value',
    ]);
  });

  it('is said once: a rule that names a principal or window that is wrong is not', () => {
    const text = `version: 1
policy: p
principals: { bot: { spiffe: "spiffe://" }, cat: { spife: x } }
windows: { w: { timezone: Mars/Base, from: "09:00", to: "10:00" }, v: { timezone: UTC } }
rules:
  - { id: a, effect: permit, principals: [bot, cat], during: [w, v], when: 'inWindow("w", request.time)' }
`;
    expect(findings({ file: 'p.yaml', text })).to.deep.equal([
      'p.yaml:3:30 bad_pattern',
      'p.yaml:3:52 unknown_key',
      'p.yaml:4:27 unknown_timezone',
      'p.yaml:4:71 missing',
      'p.yaml:4:71 missing',
    ]);
  });

  it('does not ask for a key that is there and misspelt', () => {
    const text = `${head('p')}  - { id: a, effect: permit, principal: [anyone] }\n`;
    expect(findings({ file: 'p.yaml', text })).to.deep.equal(['p.yaml:4:30 unknown_key']);
  });
});
