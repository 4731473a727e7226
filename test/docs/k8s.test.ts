import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config/parse-config.js';
import { compilePolicies } from '../../src/policy/compile.js';

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
}

describe('k8s/sidecar.yaml', () => {
  const documents = parseAllDocuments(readFileSync('k8s/sidecar.yaml', 'utf8'));
  const manifests = documents.map((document): Manifest => document.toJS());

  it('is YAML without a fault', () => {
    expect(documents.flatMap(({ errors }) => errors)).to.deep.equal([]);
    expect(manifests.map(({ kind }) => kind)).to.deep.equal(['ConfigMap', 'Deployment']);
  });

  it('carries a configuration and a policy that load', () => {
    const { data = {} } = manifests[0] ?? {};
    const parsed = parseConfig('countersign.yaml', data['countersign.yaml'] ?? '', {});
    expect(parsed).to.have.property('config');
    const scope = { issuers: [], approvals: [], facts: {}, dataFiles: [] };
    const files = [{ file: 'orders.yaml', text: data['orders.yaml'] ?? '' }];
    expect(compilePolicies(files, scope).ok).to.equal(true);
  });
});
