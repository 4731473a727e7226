import { z } from 'zod';
import { isRefused, parseDocument } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import type { JsonObject } from '../json/json-value.js';
import { type Posture, pairKey, type Revocations } from './data-files.js';

const identityPosture = z.looseObject({
  status: z.enum(['active', 'suspended', 'revoked', 'quarantined']),
  secretStatus: z.enum(['ok', 'leaked', 'rotation-due']).optional(),
  notBefore: z.union([z.iso.datetime({ offset: true }), z.iso.date()]).optional(),
  owner: z.string().optional(),
});

/** `posture.yaml` (PRODUCT.md, Data files). */
export const postureSchema = z.strictObject({
  version: z.literal(1),
  updatedAt: z.union([z.iso.datetime({ offset: true }), z.iso.date()]),
  identities: z.record(z.string(), identityPosture).default({}),
});

const issuedBefore = z.union([z.iso.datetime({ offset: true }), z.iso.date()]);

/** `revocations.yaml` (PRODUCT.md, Data files). */
export const revocationsSchema = z.strictObject({
  version: z.literal(1),
  tokens: z.array(z.strictObject({ issuer: z.string(), jti: z.string() })).default([]),
  identities: z
    .array(
      z.union([
        z.string(),
        z.strictObject({ id: z.string(), issuedBefore: issuedBefore.optional() }),
      ]),
    )
    .default([]),
  certificates: z
    .array(
      z
        .string()
        .transform((text) => text.replaceAll(':', '').toLowerCase())
        .refine((text) => /^[0-9a-f]{64}$/.test(text), {
          message: 'a certificate is named by its SHA-256: 64 hex digits',
        }),
    )
    .default([]),
  keys: z.array(z.strictObject({ issuer: z.string(), kid: z.string() })).default([]),
});

const anyMapping = z.record(z.string(), z.json());

export function parsePosture(file: string, text: string): Posture | readonly Finding[] {
  const document = parseDocument(file, text, postureSchema);
  if (isRefused(document)) return document;
  const { updatedAt, identities } = document.value;
  return {
    updatedAtMs: Date.parse(updatedAt),
    identities: new Map(
      Object.entries(identities).map(([id, { status, secretStatus, notBefore, ...rest }]) => [
        id,
        {
          status,
          secretStatus,
          notBefore: notBefore === undefined ? undefined : Date.parse(notBefore) / 1000,
          entry: JSON.parse(JSON.stringify({ status, secretStatus, notBefore, ...rest })),
        },
      ]),
    ),
  };
}

export function parseRevocations(file: string, text: string): Revocations | readonly Finding[] {
  const document = parseDocument(file, text, revocationsSchema);
  if (isRefused(document)) return document;
  const { tokens, identities, certificates, keys } = document.value;
  const until = new Map<string, number>();
  for (const entry of identities) {
    const id = typeof entry === 'string' ? entry : entry.id;
    const before = typeof entry === 'string' ? undefined : entry.issuedBefore;
    const seconds = before === undefined ? Number.POSITIVE_INFINITY : Date.parse(before) / 1000;
    until.set(id, Math.max(seconds, until.get(id) ?? Number.NEGATIVE_INFINITY));
  }
  return {
    tokens: new Set(tokens.map(({ issuer, jti }) => pairKey(issuer, jti))),
    identities: until,
    certificates: new Set(certificates),
    keys: new Set(keys.map(({ issuer, kid }) => pairKey(issuer, kid))),
  };
}

/** Any other data file: a mapping, readable in conditions under the file's name. */
export function parseData(file: string, text: string): JsonObject | readonly Finding[] {
  const document = parseDocument(file, text, anyMapping);
  return isRefused(document) ? document : document.value;
}
