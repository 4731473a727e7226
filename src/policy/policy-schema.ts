import { z } from 'zod';
import { durationMs } from '../document/units.js';

/** A refinement of the whole is not asked of a part that has a fault of its own, as a misspelt key. */
const isClean = ({ issues }: { readonly issues: readonly unknown[] }) => issues.length === 0;

const oneOrMore = <T extends z.ZodType>(item: T) => z.array(item).min(1);
const stringOrList = z.union([z.string().transform((text) => [text]), oneOrMore(z.string())]);

export type ClaimPattern =
  | string
  | number
  | boolean
  | readonly (string | number | boolean)[]
  | { readonly [name: string]: ClaimPattern };

const claimPattern: z.ZodType<ClaimPattern> = z.lazy(() =>
  z.union([
    z.string(),
    z.number(),
    z.boolean(),
    oneOrMore(z.union([z.string(), z.number(), z.boolean()])),
    z.record(z.string(), claimPattern),
  ]),
);

const claims = z
  .record(z.string(), claimPattern)
  .describe(
    'Claims that must all hold: a text (* is any run of characters), a number, a boolean, a list of these (any of them), or a mapping for the members of a nested claim. A claim that is a list matches when one member does.',
  );
const subject = stringOrList.describe(
  'Pattern of the subject, or a list of which one matches: * is any run of characters.',
);

const principal = z
  .strictObject({
    spiffe: stringOrList
      .optional()
      .describe(
        'Pattern of the SPIFFE id, or a list of which one matches: * is one whole segment, a final ** one or more; the trust domain is exact.',
      ),
    via: z
      .enum(['mtls', 'jwt-svid', 'any'])
      .default('any')
      .describe(
        'How the SPIFFE id is proven: by the client certificate, by a JWT-SVID, or either.',
      ),
    jwt: z
      .strictObject({
        issuer: stringOrList
          .optional()
          .describe('Configured name of the issuer, or a list of which one matches.'),
        subject: subject.optional(),
        claims: claims.optional(),
        actor: z
          .strictObject({ subject: subject.optional(), claims: claims.optional() })
          .optional()
          .describe('Who acts: the outermost `act` of the token, which must be there.'),
      })
      .optional()
      .describe('What the verified token must say.'),
  })
  .refine(({ spiffe, jwt }) => spiffe !== undefined || jwt !== undefined, {
    message: 'a principal has spiffe, jwt or both',
    when: isClean,
  })
  .refine(({ spiffe, via }) => spiffe !== undefined || via === 'any', {
    path: ['via'],
    message: '`via` says how a SPIFFE id is proven: it needs `spiffe`',
    when: isClean,
  })
  .refine(({ via, jwt }) => via !== 'jwt-svid' || jwt?.issuer === undefined, {
    path: ['jwt', 'issuer'],
    message: 'a JWT-SVID has no configured issuer: no caller can be both',
    when: isClean,
  })
  .describe('A caller; all keys must hold together.');

const day = z.enum(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']);
const timeOfDay = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, {
  message: 'a time of day is HH:MM, from 00:00 to 23:59',
});
const endOfDay = z.string().regex(/^(?:(?:[01]\d|2[0-3]):[0-5]\d|24:00)$/, {
  message: 'a time of day is HH:MM, from 00:00 to 24:00',
});
const window = z
  .strictObject({
    timezone: z.string().describe('IANA name of the zone: Europe/Stockholm.'),
    days: oneOrMore(day)
      .default(['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])
      .describe('The days on which the window opens; every day when absent.'),
    from: timeOfDay.describe('First minute, by the wall clock of the zone: "09:00".'),
    to: endOfDay.describe(
      'End, exclusive: "16:00". Before `from`: the window runs past midnight and belongs to the day it began.',
    ),
  })
  .describe('A window of wall-clock time.');

const mcpPatterns = (what: string) =>
  oneOrMore(z.string()).optional().describe(`${what}, any of these; * is any run of characters.`);

const mcp = z.strictObject({
  methods: mcpPatterns('JSON-RPC methods'),
  tools: mcpPatterns('Names of tools'),
  resources: mcpPatterns('URIs of resources'),
  prompts: mcpPatterns('Names of prompts'),
  onlyArguments: z
    .array(z.string())
    .optional()
    .describe('The only arguments that the call may have; none of them is required.'),
});

const tcp = z.strictObject({
  ports: oneOrMore(z.int().min(1).max(65535))
    .optional()
    .describe('Ports that the connection is for.'),
  sni: oneOrMore(z.string())
    .optional()
    .describe('TLS server names: exact, or *.example.com for one label more.'),
});

const requirements = z.strictObject({
  approval: z
    .strictObject({ from: stringOrList.describe('Configured name of the approval board.') })
    .optional()
    .describe('A signed approval for this caller, method and path; it is used up.'),
  posture: z
    .strictObject({
      status: oneOrMore(z.string()).optional().describe('Accepted states of the identity.'),
      secretStatus: oneOrMore(z.string()).optional().describe('Accepted states of its secret.'),
      maxAge: durationMs.optional().describe('How old the posture file may be: 24h.'),
    })
    .optional()
    .describe('The posture file lists the caller, in these states.'),
  maxTokenAge: durationMs.optional().describe('Since the token was issued: 5m.'),
  proof: z
    .enum(['mtls-bound', 'dpop'])
    .optional()
    .describe('How the caller proves to hold the key that the token is bound to.'),
});

const rule = z.strictObject({
  id: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, {
      message: 'a rule id has letters, digits and ". _ : / -"',
    })
    .describe('Name of the rule, unique in all policy files; it stands in the decision log.'),
  description: z.string().optional().describe('What the rule is for.'),
  effect: z
    .enum(['permit', 'deny'])
    .describe('A deny that matches beats every permit; without a permit the request is denied.'),
  mode: z
    .enum(['enforce', 'shadow'])
    .optional()
    .describe('shadow: the rule is judged and logged, and never decides.'),
  principals: oneOrMore(z.string())
    .optional()
    .describe(
      'Names of principals, `authenticated` or `anyone`. A permit must name them; a deny without them is for anyone.',
    ),
  hosts: oneOrMore(z.string())
    .optional()
    .describe('Exact, or *.example.com for one label more; a port counts only when given here.'),
  methods: oneOrMore(
    z
      .string()
      .regex(/^[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*$/, { message: 'a method is in upper case' })
      .regex(/^(?!CONNECT$)/, {
        message: 'a CONNECT is denied before any rule: no rule is for it',
      }),
  )
    .optional()
    .describe('HTTP methods.'),
  paths: oneOrMore(z.string())
    .optional()
    .describe(
      'Path templates over decoded segments: {name} captures one, * matches one, ** any number (last, or before a literal). A trailing slash is another path.',
    ),
  grpc: stringOrList.optional().describe('gRPC calls: pkg.Service/Method or pkg.Service/*.'),
  mcp: mcp.optional().describe('Which MCP messages the rule is for; all keys must hold.'),
  tcp: tcp.optional().describe('Makes it a rule for connections; all others are for requests.'),
  upgrade: oneOrMore(
    z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:\/[A-Za-z0-9!#$%&'*+.^_`|~-]+)?$/, {
      message: 'a protocol to upgrade to is a word: websocket',
    }),
  )
    .optional()
    .describe('Protocols that a request may upgrade to; the rule is then for upgrades alone.'),
  source: oneOrMore(z.string()).optional().describe('CIDRs of the client address.'),
  during: oneOrMore(z.string()).optional().describe('Names of windows, one of which is open.'),
  require: requirements.optional().describe('What else must hold.'),
  when: z.string().max(4096).optional().describe('A CEL condition; only the boolean true is true.'),
  controls: z
    .array(z.string())
    .optional()
    .describe('Free labels such as NHI5:2025, carried into the decision log.'),
});

const mode = z
  .enum(['enforce', 'shadow'])
  .optional()
  .describe('shadow: every rule of the file that does not say otherwise is only logged.');

/** The one definition of a policy file (PRODUCT.md, Policy files). */
export const policySchema = z.strictObject({
  version: z.literal(1).describe('Version of the format.'),
  policy: z.string().min(1).describe('Name of the policy.'),
  mode,
  principals: z.record(z.string(), principal).default({}).describe('Names for callers.'),
  windows: z.record(z.string(), window).default({}).describe('Names for windows of time.'),
  rules: z.array(rule).default([]).describe('The rules; their order breaks ties.'),
});

/**
 * What can be read of a file that `policySchema` refuses: a part that is wrong is undefined, an
 * unknown key is passed over, so that the rest is still checked and everything wrong is said at
 * once. Never enforced.
 */
export const salvageSchema = z.object({
  policy: z.string().catch(''),
  mode: mode.catch(undefined),
  principals: z.record(z.string(), principal.optional().catch(undefined)).catch({}),
  windows: z.record(z.string(), window.optional().catch(undefined)).catch({}),
  rules: z.array(rule.strip().optional().catch(undefined)).catch([]),
});

export type PolicyFile = z.output<typeof policySchema>;
/** A policy file of which parts may be missing; a whole one is one as well. */
export type PolicyParts = z.output<typeof salvageSchema>;
export type RuleEntry = PolicyFile['rules'][number];
export type PrincipalEntry = PolicyFile['principals'][string];
export type WindowEntry = PolicyFile['windows'][string];
