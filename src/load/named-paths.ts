import type { Config } from '../config/config-schema.js';
import { beside } from './files.js';

/** Every key file that the configuration names. */
export function keyPaths({ trust }: Config, configFile: string): readonly string[] {
  const { jwt, approvals, spiffe } = trust;
  const named = [
    ...[...jwt, ...approvals].flatMap(({ jwks }) => jwks.file ?? []),
    ...Object.values(spiffe.peer.bundles),
    ...Object.values(spiffe.jwtSvid?.bundles ?? {}),
  ];
  return named.map((path) => beside(configFile, path));
}

/** Every file and folder that the configuration names: policies, data and keys. */
export function namedPaths(config: Config, configFile: string): readonly string[] {
  const named = [...config.policies, ...Object.values(config.data)];
  return [...named.map((path) => beside(configFile, path)), ...keyPaths(config, configFile)];
}
