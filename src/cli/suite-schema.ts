import { z } from 'zod';

const time = z.iso.datetime({ offset: true });
const mapping = z.record(z.string(), z.json());

const token = z.strictObject({
  issuer: z.string().describe('configured name of the issuer; a trust domain for a JWT-SVID'),
  subject: z.string(),
  claims: mapping.default({}),
  actor: mapping.optional().describe('the outermost `act`'),
  scopes: z.array(z.string()).default([]),
  issuedAt: time.optional().describe('now, where it is not given'),
  proof: z.enum(['none', 'mtls-bound', 'dpop']).default('none'),
});

const caller = z.strictObject({
  peer: z.string().optional().describe('SPIFFE id of the mTLS peer'),
  token: token.optional(),
});

const approval = z.strictObject({
  from: z.string().describe('configured name of the board'),
  approver: z.string(),
  methods: z.array(z.string()).min(1),
  paths: z.array(z.string()).min(1),
  subject: z.string().optional().describe('the caller, where it is not given'),
});

const request = z.strictObject({
  method: z.string().default('GET'),
  host: z.string().default('api.example'),
  path: z.string(),
  scheme: z.string().default('https'),
  source: z.string().default('192.0.2.1').describe('the client address'),
  headers: z.record(z.string(), z.string()).default({}),
});

const mcp = z.strictObject({
  method: z.string().default('tools/call'),
  tool: z.string().optional(),
  prompt: z.string().optional(),
  resource: z.string().optional(),
  arguments: mapping.optional(),
});

const effect = z.enum(['permit', 'deny']);

const testCase = z.strictObject({
  name: z.string(),
  caller: z.string().optional().describe('name of a caller; nobody, where it is not given'),
  request,
  want: z.union([
    effect,
    z.strictObject({ effect, code: z.string().optional(), rule: z.string().optional() }),
  ]),
  now: time.optional(),
  approval: approval.optional(),
  posture: mapping.optional().describe('the posture entry of the caller, as fresh as can be'),
  facts: mapping.optional(),
  data: mapping.optional(),
  mcp: mcp.optional(),
  body: z.json().optional(),
});

/** The one definition of a suite for `countersign test` (PRODUCT.md, Commands). */
export const suiteSchema = z.strictObject({
  version: z.literal(1),
  now: time.optional(),
  callers: z.record(z.string(), caller).default({}),
  cases: z.array(testCase).min(1),
});

export type Suite = z.output<typeof suiteSchema>;
export type SuiteCase = Suite['cases'][number];
export type SuiteCaller = Suite['callers'][string];
