import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../examples/quickstart/pki.js';
import { policyText } from './policy-text.js';

/** A folder with keys, certificates and configurations for everything that is measured. */
export interface BenchPlace {
  readonly folder: string;
  /** PEM of the caller's certificate. */
  readonly certificatePem: string;
  /** A token of the issuer that signs so, with the given claims beside the usual ones. */
  token(algorithm: Algorithm, claims: Readonly<Record<string, unknown>>): string;
  /** Writes a configuration with policies of so many rules and gives its file. */
  configure(name: string, settings: ServeSettings): string;
  path(...parts: readonly string[]): string;
  remove(): void;
}

export type Algorithm = 'ES256' | 'RS256';

export interface ServeSettings {
  readonly listen: string;
  readonly adminPort: number;
  readonly rules: number;
  readonly log: 'off' | 'stdout';
  readonly workers: number;
}

export const callerId = 'spiffe://prod.example/ns/reports/sa/nightly';
const issuers: Readonly<Record<Algorithm, string>> = {
  ES256: 'https://idp.example',
  RS256: 'https://rsa.idp.example',
};

export async function createBenchPlace(): Promise<BenchPlace> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-bench-'));
  const path = (...parts: readonly string[]) => join(folder, ...parts);
  const keys = { ES256: createKey('ES256'), RS256: createKey('RS256') };
  for (const name of ['ES256', 'RS256'] as const) {
    writeFileSync(path(`${name}.jwks.json`), JSON.stringify({ keys: [keys[name].jwk] }));
  }
  const authority = await createAuthority('prod.example');
  const { certificatePem } = await authority.issue({ uris: [callerId] });
  let tokens = 0;
  return {
    folder,
    certificatePem,
    token(algorithm, claims) {
      tokens += 1;
      return signToken(algorithm, keys[algorithm].privateKey, tokens, claims);
    },
    configure(name, settings) {
      mkdirSync(path(`${name}.policies`), { recursive: true });
      writeFileSync(path(`${name}.policies`, 'bench.yaml'), policyText(settings.rules));
      writeFileSync(path(`${name}.yaml`), configText(name, settings));
      return path(`${name}.yaml`);
    },
    path,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function configText(name: string, { listen, adminPort, log, workers }: ServeSettings): string {
  const issuer = (algorithm: Algorithm) => `
    - name: ${algorithm === 'ES256' ? 'corp' : 'rsa'}
      issuer: ${issuers[algorithm]}
      audiences: [edge]
      algorithms: [${algorithm}]
      jwks: { file: ${algorithm}.jwks.json }
      maxLifetime: 2h`;
  return `version: 1
listen: ${listen}
admin: 127.0.0.1:${adminPort}
deadline: 10s
workers: ${workers}
trust:
  spiffe: { trustDomains: [prod.example] }
  jwt:${issuer('ES256')}${issuer('RS256')}
policies: [${name}.policies/]
facts: { environment: production }
decisionLog: { to: ${log} }
`;
}

function createKey(algorithm: Algorithm): { privateKey: KeyObject; jwk: object } {
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = {
    ...publicKey.export({ format: 'jwk' }),
    kid: algorithm,
    alg: algorithm,
    use: 'sig',
  };
  return { privateKey: createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })), jwk };
}

function signToken(
  algorithm: Algorithm,
  key: KeyObject,
  number: number,
  claims: Readonly<Record<string, unknown>>,
): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const payload = {
    iss: issuers[algorithm],
    aud: 'edge',
    iat: now,
    exp: now + 3600,
    jti: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
    client_id: 'support-console',
    scope: 'customers:read orders:read',
    ...claims,
  };
  const signed = `${part({ alg: algorithm, typ: 'at+jwt', kid: algorithm })}.${part(payload)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}
