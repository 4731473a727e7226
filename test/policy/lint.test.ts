import { expect } from 'chai';
import { describe, it } from 'mocha';
import { compilePolicies } from '../../src/policy/compile.js';

const scope = { issuers: ['corp'], approvals: [], facts: {}, dataFiles: [] };
const head = `version: 1
policy: p
principals:
  one: { spiffe: "spiffe://td/ns/a/sa/one" }
  all: { spiffe: "spiffe://td/**" }
  robots: { jwt: { issuer: corp, subject: "robot-*" } }
`;
const use =
  '  - { id: use, effect: permit, principals: [one, all, robots], methods: [GET], paths: [/use] }\n';

const rows: readonly { name: string; rules: string; want: readonly string[] }[] = [
  { name: 'nothing where nothing is doubtful', rules: use, want: [] },
  {
    name: 'principals that no rule names',
    rules: '  - { id: a, effect: permit, principals: [one], paths: [/a] }\n',
    want: ['unused_principal all', 'unused_principal robots'],
  },
  {
    name: 'a CIDR with host bits (C23)',
    rules: `${use}  - { id: a, effect: permit, principals: [one], paths: [/a], source: [203.0.113.7/24, 10.0.0.0/8] }\n`,
    want: ['cidr_host_bits it means 203.0.113.0/24'],
  },
  {
    name: 'an IPv6 CIDR with host bits (C23)',
    rules: `${use}  - { id: a, effect: permit, principals: [one], paths: [/a], source: ["2001:db8:0:1::5/63", "2001:db8::/32", "::1", "fe80::1:2/0"] }\n`,
    want: ['cidr_host_bits it means 2001:db8::/63', 'cidr_host_bits it means ::/0', 'open_source'],
  },
  {
    name: 'a deny that a slash steps around',
    rules: `${use}  - { id: a, effect: permit, principals: [one], methods: [GET], paths: ["/x/**"] }\n  - { id: no, effect: deny, paths: ["/x/{id}/export"] }\n`,
    want: ['deny_slash no'],
  },
  {
    name: 'a deny of gRPC that another content type steps around',
    rules: `${use}  - { id: a, effect: permit, principals: [one], methods: [POST], paths: ["/**"] }
  - { id: no, effect: deny, grpc: [shop.Orders/Drop] }
  - { id: all, effect: deny, grpc: shop.Carts/Drop }
  - { id: path, effect: deny, paths: [/shop.Carts/Drop, /shop.Carts/Drop/] }
  - { id: would, effect: deny, mode: shadow, grpc: shop.Items/Drop }
  - { id: reads, effect: permit, principals: [one], methods: [GET], hosts: [a.example], paths: ["/shop.Reads/**"] }
`,
    want: ['deny_grpc no'],
  },
  {
    name: 'no slash where none is permitted, or where it is denied as well',
    rules: `${use}  - { id: a, effect: permit, principals: [one], methods: [GET], paths: ["/x/{a}/{b}", "/y/**"] }
  - { id: no, effect: deny, paths: ["/x/{id}/export"] }
  - { id: both, effect: deny, paths: [/y/export, /y/export/] }
  - { id: all, effect: deny, paths: ["/y/z/**"] }
  - { id: post, effect: deny, methods: [POST], paths: [/y/w] }
  - { id: would, effect: deny, mode: shadow, paths: [/y/v] }
  - { id: b, effect: permit, principals: [one], methods: [GET], hosts: [b.example], paths: ["/h/**"] }
  - { id: host, effect: deny, hosts: [a.example], paths: [/h/x] }
`,
    want: [],
  },
  {
    name: 'a wildcard that writes below a wildcard (D23)',
    rules: `${use}  - { id: a, effect: permit, principals: [all], paths: ["/x/**"] }\n`,
    want: ['broad_grant'],
  },
  {
    name: 'anyone who may do anything, and what adds nothing to that',
    rules: `${use}  - { id: a, effect: permit, principals: [anyone] }\n`,
    want: ['covered_rule use', 'broad_grant'],
  },
  {
    name: 'no wildcard that reads, that is named, or that has a condition',
    rules: `${use}  - { id: a, effect: permit, principals: [all], methods: [GET], paths: ["/x/**"] }\n  - { id: b, effect: permit, principals: [one], paths: ["/x/**"] }\n  - { id: c, effect: permit, principals: [robots], paths: ["/x/**"], when: 'request.method == "PUT"' }\n`,
    want: [],
  },
  {
    name: 'a permit below an unconditional deny',
    rules: `${use}  - { id: a, effect: permit, principals: [one], paths: ["/x/{id}", /x/y/z] }\n  - { id: no, effect: deny, paths: ["/x/**"] }\n`,
    want: ['unreachable_rule a'],
  },
  {
    name: 'no permit that a deny takes only in part',
    rules: `${use}  - { id: a, effect: permit, principals: [one], paths: ["/x/{id}"] }\n  - { id: no, effect: deny, paths: [/x/y] }\n  - { id: po, effect: deny, methods: [POST], paths: ["/x/**"] }\n`,
    want: [],
  },
  {
    name: 'rules that a wider one of the same effect covers, and of twins the later',
    rules: `${use}  - { id: a, effect: permit, principals: [one], methods: [GET], paths: ["/x/{id}"] }
  - { id: b, effect: permit, principals: [one, robots], methods: [GET, HEAD], paths: ["/x/**"] }
  - { id: c, effect: permit, principals: [one], methods: [GET], hosts: [a.example], paths: ["/x/y"] }
  - { id: d, effect: permit, principals: [robots, one], methods: [HEAD, GET], paths: ["/x/**"] }
  - { id: e, effect: deny, methods: [PUT], paths: [/w/x] }
  - { id: f, effect: deny, paths: ["/w/{x}"] }
  - { id: g, effect: permit, principals: [authenticated], methods: [GET], hosts: ["*.b.example"], paths: ["/v/**"] }
  - { id: h, effect: permit, principals: [one], methods: [GET], hosts: ["*.b.example"], paths: ["/v/{x}/w"] }
`,
    want: [
      'covered_rule a',
      'covered_rule c',
      'covered_rule d',
      'covered_rule e',
      'covered_rule h',
    ],
  },
  {
    name: 'no rule that is wider in one thing',
    rules: `${use}  - { id: a, effect: permit, principals: [one], methods: [GET], paths: ["/x/{id}"] }
  - { id: b, effect: permit, principals: [all], methods: [GET], paths: ["/x/y"] }
  - { id: c, effect: permit, principals: [one], methods: [GET, PUT], paths: ["/x/y"] }
  - { id: d, effect: permit, principals: [one], methods: [GET], paths: ["/x/y/z"] }
  - { id: e, effect: permit, principals: [one], methods: [GET], paths: ["/x/{id}"], upgrade: [websocket] }
  - { id: f, effect: permit, mode: shadow, principals: [one], methods: [GET], paths: ["/x/y"] }
  - { id: g, effect: deny, methods: [GET], paths: ["/x/y"], when: 'request.host == "a"' }
  - { id: h, effect: permit, principals: [one], methods: [GET], hosts: [a.example], paths: ["/y"] }
  - { id: i, effect: permit, principals: [one], methods: [GET], hosts: [b.example], paths: ["/y"] }
`,
    want: [],
  },
  {
    name: 'a source that is every address, in a permit',
    rules: `${use}  - { id: a, effect: permit, principals: [one], paths: [/a], source: [0.0.0.0/0, "::/0"] }
  - { id: b, effect: deny, paths: [/b], source: [0.0.0.0/0] }
`,
    want: ['open_source', 'open_source'],
  },
];

describe('the lint of policies', () => {
  for (const { name, rules, want } of rows) {
    it(`finds ${name}`, () => {
      const compiled = compilePolicies(
        [{ file: 'p.yaml', text: `${head}rules:\n${rules}` }],
        scope,
      );
      const warnings = compiled.ok ? compiled.warnings : compiled.findings;
      const said = warnings.map(({ code, path, suggestion }) => {
        const name = code === 'unused_principal' ? path.replace('principals.', ' ') : '';
        const rule = ['unreachable_rule', 'covered_rule', 'deny_grpc', 'deny_slash'].includes(code)
          ? ` ${path}`
          : '';
        return `${code}${name}${rule}${code === 'cidr_host_bits' ? ` ${suggestion}` : ''}`;
      });
      expect(said).to.deep.equal(want);
    });
  }
});

describe('a condition on data', () => {
  const data = { partners: { acme: { limit: 5, name: 'Acme', tags: ['a'] } } };
  const doubts = (when: string) => {
    const rules = `  - { id: a, effect: permit, principals: [one], paths: [/a], when: '${when}' }\n`;
    const compiled = compilePolicies([{ file: 'p.yaml', text: `${head}rules:\n${use}${rules}` }], {
      ...scope,
      dataFiles: ['partners'],
      data,
    });
    const warnings = compiled.ok ? compiled.warnings : compiled.findings;
    return warnings.map(({ code, column, message }) => `${code} ${column} ${message}`);
  };
  const rows = [
    { when: 'data.partners.acme.limit > 3.0', want: [] },
    { when: 'data.partners[token.subject].limit > 3.0', want: [] },
    { when: 'has(data.partners.acme.limt)', want: [] },
    { when: 'data.partners.acme.tags.exists(t, t == "a")', want: [] },
    {
      when: 'data.partners.acme.limt > 3.0',
      want: ['data_shape 87 "data.partners.acme" has no "limt", in the data as it is now'],
    },
    {
      when: 'data.partners.acme.name == 3.0',
      want: ['data_shape 93 a string and a number are never equal, in the data as it is now'],
    },
  ];
  for (const { when, want } of rows) {
    it(`${when}: ${want.length === 0 ? 'no doubt' : want.join(', ')}`, () => {
      expect(doubts(when)).to.deep.equal(want);
    });
  }
});

describe('a warning that is meant', () => {
  const warningsOf = (rules: string) => {
    const text = `${head}rules:\n${use}${rules}`;
    const compiled = compilePolicies([{ file: 'p.yaml', text }], scope);
    return (compiled.ok ? compiled.warnings : compiled.findings).map(({ code }) => code);
  };
  const broad = '{ id: a, effect: permit, principals: [all], paths: ["/x/**"] }';
  const rows = [
    {
      name: 'is silent for a reason on its line',
      rules: `  - ${broad} # countersign-allow broad_grant: one team\n`,
      want: [],
    },
    {
      name: 'is silent for a reason above it',
      rules: `  # countersign-allow broad_grant: one team\n\n  # more\n  - ${broad}\n`,
      want: [],
    },
    {
      name: 'is said where the comment is about another code',
      rules: `  - ${broad} # countersign-allow unused_window: one team\n`,
      want: ['broad_grant', 'silent_silence'],
    },
    {
      name: 'is silent without a reason, and the comment is warned of',
      rules: `  - ${broad} # countersign-allow broad_grant\n`,
      want: ['unexplained_silence'],
    },
    {
      name: 'is said where the comment stands at another line',
      rules: `  - { id: z, effect: deny, paths: [/z] } # countersign-allow broad_grant: one team\n  - ${broad}\n`,
      want: ['silent_silence', 'broad_grant'],
    },
    {
      name: 'is said where the comment is part of a text',
      rules: `  - { id: a, description: "x # countersign-allow broad_grant: y", effect: permit, principals: [all], paths: ["/x/**"] }\n`,
      want: ['broad_grant'],
    },
  ];
  for (const { name, rules, want } of rows) {
    it(name, () => {
      expect(warningsOf(rules)).to.deep.equal(want);
    });
  }

  it('stays an error where it is one', () => {
    const rules = `  - { id: a, effect: permit, principals: [nobody], paths: [/x] } # countersign-allow unknown_principal: so\n`;
    expect(warningsOf(rules)).to.deep.equal(['unknown_principal']);
  });
});
