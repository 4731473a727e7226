import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Kubectl } from './kubectl.js';
import { moduleSource } from './tools.js';

const installed = new WeakMap<Kubectl, Promise<void>>();

/** The CRDs of Istio and of the Gateway API, from the very modules that istiod is built of. */
export function installCrds(kubectl: Kubectl): Promise<void> {
  const promise = installed.get(kubectl) ?? install(kubectl);
  installed.set(kubectl, promise);
  return promise;
}

async function install(kubectl: Kubectl): Promise<void> {
  const istio = join(await moduleSource('istio', 'istio.io/api'), 'kubernetes');
  const gateway = join(
    await moduleSource('istio', 'sigs.k8s.io/gateway-api'),
    ...['config', 'crd', 'standard'],
  );
  const files = [
    join(istio, 'customresourcedefinitions.gen.yaml'),
    ...readdirSync(gateway)
      .filter((name) => name.startsWith('gateway.networking.k8s.io_') && !name.includes('_vap_'))
      .map((name) => join(gateway, name)),
  ];
  // The whole of a CRD in an annotation, as a client-side apply has it, is too much for the server.
  await kubectl.must(['apply', '--server-side', ...files.flatMap((file) => ['-f', file])]);
  await kubectl.must(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
}
