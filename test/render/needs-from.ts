import { parseConfig } from '../../src/config/parse-config.js';
import { compilePolicies } from '../../src/policy/compile.js';
import { type Needs, needsOf } from '../../src/render/needs.js';

/** What a configuration with these lines, and rules with these, need. */
export function needsFrom(config = '', rules: readonly string[] = []): Needs {
  const text = `version: 1\npolicies: [p.yaml]\n${config}`;
  const parsed = parseConfig('countersign.yaml', text, {});
  if (!('config' in parsed)) throw new Error(JSON.stringify(parsed));
  const policy = `version: 1
policy: p
principals: { planner: { spiffe: "spiffe://prod.example/ns/a/sa/planner" } }
rules:
  - { id: first, effect: permit, principals: [planner], methods: [GET], paths: [/first] }
${rules.map((rule) => `  - ${rule}\n`).join('')}`;
  const { jwt, approvals } = parsed.config.trust;
  const compiled = compilePolicies([{ file: 'p.yaml', text: policy }], {
    issuers: jwt.map(({ name }) => name),
    approvals: approvals.map(({ name }) => name),
    facts: {},
    dataFiles: [],
  });
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.findings));
  return needsOf(parsed.config, compiled.set);
}

/** A rule for anyone with more keys. */
export const rule = (id: string, keys: string) =>
  `{ id: ${id}, effect: permit, principals: [anyone], paths: ["/${id}"], ${keys} }`;
