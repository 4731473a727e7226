import { dirname, normalize } from 'node:path';
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
 * @param files what the configuration names: path below its folder → text
 */
export function podOptions(
  config: Config | undefined,
  args: Arguments,
  files: ReadonlyMap<string, string>,
): PodOptions {
  const policyFolder = config === undefined ? 'policies' : policyFolderOf(config, files);
  const paths = [...files.keys()].filter((path) => dirname(path) !== policyFolder);
  const listen = config && parseListenAddress(config.listen);
  const admin = config && parseListenAddress(config.admin);
  return {
    image: text(args, 'image') ?? 'countersign:local',
    configMap: text(args, 'configmap') ?? 'countersign',
    policyFolder,
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

/** The one folder that has all policies directly in it, and nothing else; undefined where there is none. */
function policyFolderOf(
  { policies }: Config,
  files: ReadonlyMap<string, string>,
): string | undefined {
  const [entry = '', ...more] = policies;
  const folder = normalize(entry).replace(/\/$/, '');
  const inside = [...files.keys()].filter((path) => path.startsWith(`${folder}/`));
  const isFlat = inside.length > 0 && inside.every((path) => dirname(path) === folder);
  return more.length === 0 && folder !== '.' && isFlat ? folder : undefined;
}
