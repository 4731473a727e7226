import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseConfig } from '../../src/config/parse-config.js';
import { lintCodes } from '../../src/document/lint-codes.js';
import { lintConfig } from '../../src/load/lint-config.js';
import { compilePolicies } from '../../src/policy/compile.js';
import { istioCodes } from '../../src/render/lint-istio.js';
import { unmetCodes } from '../../src/render/unmet.js';
import { parseJwks } from '../../src/trust/jwks.js';

const page = readFileSync('docs/lint.md', 'utf8');
const sections = page.split(/^### /m).slice(1);
const examples = sections.map((section) => ({
  code: /^`([a-z_]+)`/.exec(section)?.[1] ?? '',
  text: /```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? '',
}));
const scope = {
  issuers: ['corp', 'other'],
  approvals: ['board'],
  facts: {},
  dataFiles: ['partners'],
  data: { partners: { acme: { limit: 5 } } },
};

const compile = (text: string) => compilePolicies([{ file: 'example.yaml', text }], scope);

/** The policies that the configurations of the page name. */
const rules: Readonly<Record<string, string>> = {
  'asks-for-dpop.yaml': 'require: { proof: dpop }',
  'asks-for-an-approval.yaml': 'require: { approval: { from: board } }',
  'reads-the-body.yaml': 'when: request.body.n < 3',
  'asks-for-posture.yaml': 'require: { posture: { status: [active] } }',
  'plain.yaml': 'methods: [POST]',
};

function policiesOf(name: string) {
  const compiled = compile(
    `version: 1\npolicy: p\nrules:\n  - { id: a, effect: permit, principals: [anyone], paths: [/a], ${rules[name]} }\n`,
  );
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.findings));
  return compiled.set;
}

function warningsOf(text: string): readonly string[] {
  if (/^policy:/m.test(text)) {
    const compiled = compile(text);
    return (compiled.ok ? compiled.warnings : compiled.findings).map(({ code }) => code);
  }
  const parsed = parseConfig('countersign.yaml', text, {});
  if (!('config' in parsed)) return parsed.map(({ code }) => code);
  const [policy = ''] = parsed.config.policies;
  return lintConfig(parsed.document, policiesOf(policy)).map(({ code }) => code);
}

describe('docs/lint.md', () => {
  it('explains every warning there is, and no other', () => {
    expect(examples.map(({ code }) => code).sort()).to.deep.equal([...lintCodes].sort());
  });

  for (const { code, text } of examples.filter((example) => example.text !== '')) {
    it(`shows ${code} by an example that has this warning alone`, () => {
      expect(warningsOf(text)).to.deep.equal([code]);
    });
  }

  it('lists all that Envoy or Istio will not tell', () => {
    const listed = [...page.matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, code]) => code);
    expect(listed.sort()).to.deep.equal([...unmetCodes, ...istioCodes].sort());
  });

  it('shows a key that is skipped', () => {
    const [, text = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
    expect(parseJwks(text, ['ES256'])).to.have.nested.property(
      'warnings[0]',
      'key 1 is skipped: its "use" is not "sig"',
    );
    expect(parseJwks(text.replace('enc', 'sig'), ['ES256'])).to.have.property('warnings').empty;
  });

  it('shows a warning that is silent', () => {
    const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    expect(warningsOf(text)).to.deep.equal([]);
    expect(warningsOf(text.replace(/^.*countersign-allow.*\n/m, ''))).to.deep.equal([
      'broad_grant',
    ]);
  });
});
