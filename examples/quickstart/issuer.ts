import { randomUUID } from 'node:crypto';
import { exportJWK, exportPKCS8, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';

/** An issuer of JWTs with one key, made new each time. */
export interface Issuer {
  readonly jwks: { readonly keys: readonly JWK[] };
  privatePem(): Promise<string>;
  /** A token of this issuer for `claims`, good for ten minutes unless they say otherwise. */
  sign(claims: JWTPayload, header?: { typ?: string; kid?: string }): Promise<string>;
}

export async function createIssuer(iss: string, kid: string): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' };
  return {
    jwks: { keys: [jwk] },
    privatePem: () => exportPKCS8(privateKey),
    sign: (claims, header = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const payload = { iss, aud: 'edge', iat: now, exp: now + 600, jti: randomUUID(), ...claims };
      return new SignJWT(payload)
        .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt', ...header })
        .sign(privateKey);
    },
  };
}
