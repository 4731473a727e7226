import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../../src/config/parse-config.js';
import { compilePolicies } from '../../src/policy/compile.js';

/** What needs no API server; `npm run test:cluster` applies every file to a real one. */
describe('k8s/', () => {
  const files = readdirSync('k8s', { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.yaml'),
  );

  it('is YAML without a fault', () => {
    const documents = files.flatMap((name) =>
      parseAllDocuments(readFileSync(`k8s/${name}`, 'utf8')),
    );
    expect(documents.length).to.be.greaterThan(files.length);
    expect(documents.flatMap(({ errors }) => errors)).to.deep.equal([]);
  });

  for (const folder of ['example', 'istio']) {
    it(`carries a configuration and a policy that load: ${folder}`, () => {
      const config = readFileSync(`k8s/${folder}/countersign.yaml`, 'utf8');
      expect(parseConfig('countersign.yaml', config, {})).to.have.property('config');
      const scope = { issuers: ['cluster'], approvals: [], facts: {}, dataFiles: [] };
      const text = readFileSync(`k8s/${folder}/policies/orders.yaml`, 'utf8');
      expect(compilePolicies([{ file: 'orders.yaml', text }], scope).ok).to.equal(true);
    });
  }
});
