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
    name: 'a wildcard that writes below a wildcard (D23)',
    rules: `${use}  - { id: a, effect: permit, principals: [all], paths: ["/x/**"] }\n`,
    want: ['broad_grant'],
  },
  {
    name: 'anyone who may do anything',
    rules: `${use}  - { id: a, effect: permit, principals: [anyone] }\n`,
    want: ['broad_grant'],
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
        const rule = code === 'unreachable_rule' ? ` ${path}` : '';
        return `${code}${name}${rule}${code === 'cidr_host_bits' ? ` ${suggestion}` : ''}`;
      });
      expect(said).to.deep.equal(want);
    });
  }
});
