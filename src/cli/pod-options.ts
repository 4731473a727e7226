import { dirname } from 'node:path';
import type { Config } from '../config/config-schema.js';
import { parseListenAddress } from '../config/listen-address.js';
import { configMapKey } from '../render/config-files.js';
import type { PodOptions } from '../render/pod.js';
import { type Arguments, text } from './command.js';

/** The socket that Envoy and Countersign share in a pod, where no configuration names another. */
export const usualSocketFolder = '/run/countersign';
const usualAdminPort = 9192;

/**
 * How the sidecar is put into a pod, from the configuration and the options `--image` and `--configmap`.
 * @param paths files of the ConfigMap, below the configuration's folder
 */
export function podOptions(
  config: Config | undefined,
  args: Arguments,
  paths: readonly string[],
): PodOptions {
  const listen = config && parseListenAddress(config.listen);
  const admin = config && parseListenAddress(config.admin);
  return {
    image: text(args, 'image') ?? 'countersign:local',
    configMap: text(args, 'configmap') ?? 'countersign',
    items: new Map(paths.map((path) => [configMapKey(path), path])),
    socketFolder:
      listen?.kind === 'tcp'
        ? undefined
        : listen === undefined
          ? usualSocketFolder
          : dirname(listen.path),
    adminPort: admin?.kind === 'tcp' ? admin.port : usualAdminPort,
  };
}
