import { createRequire } from 'node:module';

let loaded: typeof import('@grpc/grpc-js') | undefined;

/** grpc-js, which is loaded for the SPIFFE Workload API alone, and then at once. */
export function grpc(): typeof import('@grpc/grpc-js') {
  loaded ??= createRequire(import.meta.url)('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
  return loaded;
}
