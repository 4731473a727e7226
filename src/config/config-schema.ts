import { z } from 'zod';
import { durationMs, sizeBytes } from '../document/units.js';

/** Signature algorithms that may be configured: asymmetric ones (RFC 7518 §3.1, RFC 8037, RFC 9864). */
const algorithm = z.enum([
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]);

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
  message: 'a name has letters, digits, ".", "_" and "-"',
});
const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, { message: 'this is not a header name' })
  .transform((text) => text.toLowerCase());

const jwks = z
  .strictObject({
    file: z.string().optional().describe('JWK Set file'),
    url: z.string().optional().describe('https URL of the JWK Set (http from loopback only)'),
    discovery: z.boolean().optional().describe('find the JWK Set by OIDC discovery of the issuer'),
    refresh: durationMs.default(300_000).describe('how often a remote set is fetched again'),
    staleMax: durationMs.default(3_600_000).describe('how old a remote set may get while away'),
  })
  .refine(
    ({ file, url, discovery }) =>
      [file !== undefined, url !== undefined, discovery === true].filter(Boolean).length === 1,
    { message: 'jwks has exactly one of file, url and discovery: true' },
  );

const issuerKeys = {
  name: name.describe('what policies call the issuer'),
  issuer: z.string().min(1).describe('the exact `iss`'),
  audiences: z.array(z.string().min(1)).min(1).describe('any of these in `aud`'),
  algorithms: z.array(algorithm).min(1).describe('accepted signature algorithms'),
  jwks: jwks.describe('where the keys come from'),
  types: z.array(z.string()).min(1).optional().describe('accepted `typ` header values'),
  clockTolerance: durationMs.default(5_000),
  requiredClaims: z.array(z.string()).default([]),
};

const jwtIssuer = z.strictObject({
  ...issuerKeys,
  maxLifetime: durationMs.optional().describe('the most that exp - iat may be'),
  header: headerName.default('authorization'),
  singleUse: z.boolean().default(false).describe('a jti is accepted once'),
});

const approvalBoard = z.strictObject({
  ...issuerKeys,
  maxLifetime: durationMs.default(900_000),
  header: headerName.default('x-countersign-approval'),
});

const trustDomain = z.string().regex(/^[a-z0-9._-]{1,255}$/, {
  message: 'a trust domain has lower-case letters, digits, "-", "." and "_" only',
});

const spiffe = z.strictObject({
  trustDomains: z.array(trustDomain).default([]).describe('accepted trust domains; no other is'),
  peer: z
    .strictObject({
      certificate: z.enum(['optional', 'required']).default('optional'),
      bundles: z.record(trustDomain, z.string()).default({}),
      xfcc: z.enum(['off', 'last']).default('off'),
    })
    .prefault({}),
  jwtSvid: z
    .strictObject({
      audiences: z.array(z.string().min(1)).min(1),
      bundles: z.record(trustDomain, z.string()).default({}),
    })
    .optional(),
  workloadApi: z
    .string()
    .optional()
    .describe('SPIFFE Workload API that streams the bundles: unix:///path or tcp://IP:port'),
  maxBundleAge: durationMs.default(3_600_000).describe('how long bundles outlive a lost agent'),
});

const trust = z.strictObject({
  spiffe: spiffe.prefault({}),
  jwt: z.array(jwtIssuer).default([]),
  approvals: z.array(approvalBoard).default([]),
  onInvalidToken: z.enum(['deny', 'ignore']).default('deny'),
  dpop: z
    .strictObject({
      origins: z.array(z.string()).default([]),
      maxAge: durationMs.default(60_000),
      nonce: z.union([z.literal('off'), z.literal('required')]).default('off'),
    })
    .prefault({}),
  clientAddress: z.strictObject({ trustedHops: z.int().min(0).max(32).default(0) }).prefault({}),
});

/** The one definition of `countersign.yaml` (PRODUCT.md, Configuration). */
export const configSchema = z.strictObject({
  version: z.literal(1),
  listen: z.string().default('127.0.0.1:9191'),
  insecure: z.boolean().default(false),
  tls: z
    .strictObject({ certificate: z.string(), key: z.string(), clientCa: z.string().optional() })
    .optional(),
  admin: z.string().default('127.0.0.1:9192'),
  deadline: durationMs.default(100),
  workers: z.int().min(1).max(64).default(1),
  limits: z
    .strictObject({
      inFlight: z.int().min(1).default(4096),
      body: sizeBytes.default(1024 * 1024),
      token: sizeBytes.default(16 * 1024),
    })
    .prefault({}),
  trust: trust.prefault({}),
  policies: z.array(z.string()).min(1),
  facts: z.record(z.string(), z.json()).default({}),
  data: z.record(z.string(), z.string()).default({}),
  replay: z
    .strictObject({
      store: z.enum(['memory', 'valkey']).default('memory'),
      maxEntries: z.int().min(1).default(100_000),
      url: z.string().optional(),
    })
    .prefault({}),
  respond: z
    .strictObject({
      identityHeaders: z.boolean().default(true),
      removeCredentials: z.boolean().default(false),
      resourceMetadata: z.string().default(''),
    })
    .prefault({}),
  decisionLog: z
    .strictObject({
      to: z.string().default('stdout'),
      permits: z.number().min(0).max(1).default(1),
      detail: z.enum(['basic', 'full']).default('basic'),
      maxSize: sizeBytes
        .default(100 * 1024 * 1024)
        .describe('a file is rotated before it gets longer'),
      keep: z.int().min(1).max(1000).default(5).describe('how many rotated files are kept'),
      recent: z
        .int()
        .min(0)
        .max(10_000)
        .default(0)
        .describe('how many decisions the admin port can explain; 0: none'),
    })
    .prefault({}),
  tracing: z
    .strictObject({
      otlp: z.url({ protocol: /^https?$/ }).describe('base URL of an OTLP/HTTP collector'),
      ratio: z
        .number()
        .min(0)
        .max(1)
        .default(0.01)
        .describe('share of requests without a traceparent that begin a trace'),
    })
    .optional(),
});

export type Config = z.output<typeof configSchema>;
export type JwtIssuerConfig = Config['trust']['jwt'][number];
export type ApprovalBoardConfig = Config['trust']['approvals'][number];
export type JwksConfig = JwtIssuerConfig['jwks'];
