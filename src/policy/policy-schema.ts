import { z } from 'zod';
import { durationMs } from '../document/units.js';

const oneOrMore = <T extends z.ZodType>(item: T) => z.array(item).min(1);
const stringOrList = z.union([z.string().transform((text) => [text]), oneOrMore(z.string())]);

const claimPattern: z.ZodType = z.lazy(() =>
  z.union([
    z.string(),
    z.number(),
    z.boolean(),
    oneOrMore(z.union([z.string(), z.number(), z.boolean()])),
    z.record(z.string(), claimPattern),
  ]),
);
export type ClaimPattern =
  | string
  | number
  | boolean
  | readonly (string | number | boolean)[]
  | { readonly [name: string]: ClaimPattern };

const claims = z
  .record(z.string(), claimPattern)
  .describe(
    'claims that must hold: a text with * for any run of characters, a number, a boolean, a list of these (any of them)',
  );

const principal = z
  .strictObject({
    spiffe: stringOrList
      .optional()
      .describe('SPIFFE id pattern: * is one segment, a final ** one or more'),
    via: z.enum(['mtls', 'jwt-svid', 'any']).default('any'),
    jwt: z
      .strictObject({
        issuer: stringOrList.optional().describe('configured name of the issuer'),
        subject: stringOrList.optional(),
        claims: claims.optional(),
        actor: z
          .strictObject({ subject: stringOrList.optional(), claims: claims.optional() })
          .optional()
          .describe('the outermost `act` of the token'),
      })
      .optional(),
  })
  .refine(({ spiffe, jwt }) => spiffe !== undefined || jwt !== undefined, {
    message: 'a principal has spiffe, jwt or both',
  });

const day = z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']);
const timeOfDay = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$|^24:00$/, {
  message: 'a time of day is HH:MM, from 00:00 to 24:00',
});
const window = z.strictObject({
  timezone: z.string().describe('IANA name: Europe/Stockholm'),
  days: oneOrMore(day).default(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']),
  from: timeOfDay,
  to: timeOfDay.describe('exclusive; before `from`: past midnight, on the day it began'),
});

const rule = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, {
    message: 'a rule id has letters, digits and ". _ : / -"',
  }),
  description: z.string().optional(),
  effect: z.enum(['permit', 'deny']),
  mode: z.enum(['enforce', 'shadow']).optional(),
  principals: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('names of principals, or anyone, or authenticated'),
  hosts: oneOrMore(z.string()).optional(),
  methods: oneOrMore(
    z.string().regex(/^[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*$/, { message: 'a method is in upper case' }),
  ).optional(),
  paths: oneOrMore(z.string()).optional(),
  grpc: z.union([z.string().transform((text) => [text]), oneOrMore(z.string())]).optional(),
  mcp: z
    .strictObject({
      methods: oneOrMore(z.string()).optional(),
      tools: oneOrMore(z.string()).optional(),
      resources: oneOrMore(z.string()).optional(),
      prompts: oneOrMore(z.string()).optional(),
      onlyArguments: z.array(z.string()).optional(),
    })
    .optional(),
  tcp: z
    .strictObject({
      ports: oneOrMore(z.int().min(1).max(65535)).optional(),
      sni: oneOrMore(z.string()).optional(),
    })
    .optional(),
  upgrade: oneOrMore(z.string()).optional(),
  source: oneOrMore(z.string()).optional().describe('CIDRs of the client address'),
  during: oneOrMore(z.string()).optional().describe('names of windows'),
  require: z
    .strictObject({
      approval: z.strictObject({ from: stringOrList }).optional(),
      posture: z
        .strictObject({
          status: oneOrMore(z.string()).optional(),
          secretStatus: oneOrMore(z.string()).optional(),
          maxAge: durationMs.optional(),
        })
        .optional(),
      maxTokenAge: durationMs.optional(),
      proof: z.enum(['mtls-bound', 'dpop']).optional(),
    })
    .optional(),
  when: z.string().max(4096).optional().describe('a CEL condition'),
  controls: z.array(z.string()).optional().describe('free labels, carried into the decision log'),
});

/** The one definition of a policy file (PRODUCT.md, Policy files). */
export const policySchema = z.strictObject({
  version: z.literal(1),
  policy: z.string().min(1).describe('the name of the policy'),
  mode: z
    .enum(['enforce', 'shadow'])
    .optional()
    .describe('shadow: every rule of the file is logged only'),
  principals: z.record(z.string(), principal).default({}),
  windows: z.record(z.string(), window).default({}),
  rules: z.array(rule).default([]),
});

export type PolicyFile = z.output<typeof policySchema>;
export type RuleEntry = PolicyFile['rules'][number];
export type PrincipalEntry = PolicyFile['principals'][string];
export type WindowEntry = PolicyFile['windows'][string];
