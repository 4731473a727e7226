import type { Config } from '../config/config-schema.js';

/**
 * Every file that a configuration names but the key of `tls`, relative to the configuration; policy
 * folders stand for themselves. What is here may lie in a ConfigMap: it holds no secret.
 */
export function namedFiles({ policies, data, trust, tls }: Config): readonly string[] {
  const issuers = [...trust.jwt, ...trust.approvals];
  return [
    ...policies,
    ...Object.values(data),
    ...issuers.flatMap(({ jwks }) => (jwks.file === undefined ? [] : [jwks.file])),
    ...Object.values(trust.spiffe.peer.bundles),
    ...Object.values(trust.spiffe.jwtSvid?.bundles ?? {}),
    ...(tls === undefined
      ? []
      : [tls.certificate, ...(tls.clientCa === undefined ? [] : [tls.clientCa])]),
  ];
}

/** A key of a ConfigMap for a path below the configuration's folder: letters, digits, `-`, `_` and `.`. */
export function configMapKey(path: string): string {
  return path.replace(/[^A-Za-z0-9._-]+/g, '.');
}
