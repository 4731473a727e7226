import { existsSync } from 'node:fs';
import protobufjs from 'protobufjs';

const deps = 'node_modules/@grpc/grpc-js-xds/deps';
const official = [
  ...['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((name) => `${deps}/${name}`),
  'node_modules/protobufjs',
];

function load(folders: readonly string[], files: string[]): protobufjs.Root {
  const root = new protobufjs.Root();
  root.resolvePath = (_, target) => {
    const found = folders.find((folder) => existsSync(`${folder}/${target}`));
    return found === undefined ? target : `${found}/${target}`;
  };
  return root.loadSync(files, { keepCase: true });
}

/** The independent opinion: the official protos, read by protobufjs. */
export function officialProtos(
  files: string[] = ['envoy/service/auth/v3/external_auth.proto'],
): protobufjs.Root {
  return load(official, files);
}

/** The protos of this repository, read by protobufjs. */
export function ownProtos(): protobufjs.Root {
  return load(
    ['protos', 'node_modules/protobufjs'],
    ['envoy/service/auth/v3/external_auth.proto', 'grpc/health/v1/health.proto', 'workload.proto'],
  );
}
