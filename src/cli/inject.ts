import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { injectSidecar } from '../render/inject.js';
import { type Command, Misuse, text } from './command.js';
import { configFile } from './config-file.js';
import { filesOf } from './named-files.js';
import { podOptions } from './pod-options.js';
import { readConfig } from './read-config.js';

/** `countersign inject FILE`: adds the sidecar to every pod of a manifest. */
export const inject: Command = {
  name: 'inject',
  summary: 'adds the sidecar to the pods of a manifest, once',
  operands: 'FILE|-',
  options: {
    config: { type: 'string', short: 'c' },
    image: { type: 'string' },
    configmap: { type: 'string' },
    proxy: { type: 'string' },
    istio: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  help: [
    '                    without -c: the socket /run/countersign/authz.sock, admin on 9192',
    '--image IMAGE       (countersign:local)',
    '--configmap NAME    with the configuration (countersign); the policies are in NAME-policies',
    "--proxy NAMES       containers that get the socket: Envoy's (envoy,istio-proxy)",
    "--istio             the proxy that Istio's injector adds later gets the socket",
    '--json              the manifest and what was done as JSON',
  ],
  async run(args, io) {
    const [file, ...more] = args.positionals;
    if (file === undefined || more.length > 0) {
      throw new Misuse('name one manifest, or - for the standard input');
    }
    const isDerived = text(args, 'config') !== undefined;
    const config = isDerived ? readConfig(args, io) : undefined;
    if (isDerived && config === undefined) return 1;
    const files =
      config === undefined
        ? new Map<string, string>()
        : filesOf(config, configFile(args), dirname(configFile(args)));
    const names = (text(args, 'proxy') ?? 'envoy,istio-proxy').split(',');
    const proxies = { names, isIstio: args.values['istio'] === true };
    const injected = injectSidecar(read(file), podOptions(config, args, files), proxies);
    if ('error' in injected) {
      io.err(`${file}: ${injected.error}\n`);
      return 1;
    }
    if (args.values['json'] === true) io.out(`${JSON.stringify(injected, null, 2)}\n`);
    else {
      io.out(injected.text);
      io.err(injected.said.map((line) => `${line}\n`).join(''));
    }
    return 0;
  },
};

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch {
    throw new Misuse(`${file} cannot be read`);
  }
}
