import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { z } from 'zod';
import { suiteSchema } from '../../src/cli/suite-schema.js';
import { configSchema } from '../../src/config/config-schema.js';
import { postureSchema, revocationsSchema } from '../../src/evidence/parse-data-files.js';
import { policySchema } from '../../src/policy/policy-schema.js';

const schemas = {
  countersign: configSchema,
  policy: policySchema,
  posture: postureSchema,
  revocations: revocationsSchema,
  suite: suiteSchema,
};

/** `UPDATE_GOLDEN=1` writes the files anew from the one definition the program validates with. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1';

describe('the JSON Schemas for editors', () => {
  for (const [name, schema] of Object.entries(schemas)) {
    it(`are the program's own definition: ${name}`, () => {
      const file = `schemas/${name}.schema.json`;
      const made = `${JSON.stringify(z.toJSONSchema(schema, { io: 'input' }), null, 2)}\n`;
      if (isUpdate) writeFileSync(file, made);
      expect(readFileSync(file, 'utf8')).to.equal(made);
    });
  }
});
