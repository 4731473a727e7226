import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { root } from '../../../envoy/find-envoy.js';
import { reserve } from '../../../examples/quickstart/workplace.js';
import type { ControlPlane } from '../control-plane.js';
import type { Manifest } from '../kubectl.js';
import { eventually, type Program, startProgram } from '../program.js';
import { toolPath } from '../tools.js';

/** A real istiod (pilot-discovery) as a plain process, that reads a real API server. */
export interface Istiod {
  /** Where Envoys without an agent fetch their configuration, in plaintext on loopback. */
  readonly discoveryPort: number;
  readonly program: Program;
}

export interface Provider {
  readonly name: string;
  readonly envoyExtAuthzGrpc: Readonly<Record<string, unknown>>;
}

/** The provider of k8s/istio/mesh-config.yaml. */
export function ownProvider(): Provider {
  const text = readFileSync(join(root, 'k8s', 'istio', 'mesh-config.yaml'), 'utf8');
  const parsed: { extensionProviders: Provider[] } = parse(text);
  const [provider] = parsed.extensionProviders;
  if (provider === undefined) throw new Error('mesh-config.yaml has no provider');
  return provider;
}

/** The policy of k8s/istio for another provider, or with other rules. */
export function customPolicy(provider: string, rules: readonly object[] = [{}]): Manifest {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: provider },
    spec: {
      selector: { matchLabels: { app: 'orders' } },
      action: 'CUSTOM',
      provider: { name: provider },
      rules,
    },
  };
}

/** Settings that keep what only Istio's own Envoy understands away from a generic one. */
const genericEnvoy = {
  PILOT_ENABLE_METADATA_EXCHANGE: 'false',
  PILOT_ENABLE_TELEMETRY_LABEL: 'false',
  PILOT_ENABLE_ALPN_FILTER: 'false',
};

export interface IstiodOptions {
  readonly providers: readonly Provider[];
  readonly env?: Readonly<Record<string, string>>;
  readonly mesh?: Readonly<Record<string, unknown>>;
  /** Where Envoys with an agent come to, with its own certificate authority; absent: none may. */
  readonly secureAddress?: string;
}

/** Starts it and resolves when it is ready. The namespace istio-system must exist. */
export async function startIstiod(
  { folder, kubeconfig }: ControlPlane,
  name: string,
  options: IstiodOptions,
): Promise<Istiod> {
  const [http = 0, grpc = 0, monitoring = 0] = await reserve(3);
  const meshFile = join(folder, `${name}.mesh.yaml`);
  const mesh = { rootNamespace: 'istio-system', extensionProviders: options.providers };
  writeFileSync(meshFile, stringify({ enableAutoMtls: false, ...mesh, ...options.mesh }));
  const cwd = join(folder, name);
  mkdirSync(cwd, { recursive: true });
  const program = startProgram(folder, name, toolPath('pilot-discovery'), {
    cwd,
    args: [
      ...['discovery', '--registries=Kubernetes', '--kubeconfig', kubeconfig('admin')],
      ...['--meshConfig', meshFile, '--profile=false', '--ctrlz_port', '0'],
      ...['--httpAddr', `127.0.0.1:${http}`, '--httpsAddr', ''],
      ...['--grpcAddr', `127.0.0.1:${grpc}`, '--secureGRPCAddr', options.secureAddress ?? ''],
      ...['--monitoringAddr', `127.0.0.1:${monitoring}`],
    ],
    env: {
      ...genericEnvoy,
      ENABLE_CA_SERVER: String(options.secureAddress !== undefined),
      POD_NAMESPACE: 'istio-system',
      POD_NAME: 'istiod',
      PILOT_ENABLE_STATUS: 'false',
      VALIDATION_WEBHOOK_CONFIG_NAME: '',
      INJECTION_WEBHOOK_CONFIG_NAME: '',
      ...options.env,
    },
  });
  await eventually(
    async () => {
      if (program.hasEnded()) throw new Error(`istiod ended: ${program.output().slice(-3000)}`);
      try {
        return (await fetch(`http://127.0.0.1:${http}/ready`)).ok ? true : undefined;
      } catch {
        return undefined;
      }
    },
    () => `istiod is not ready: ${program.output().slice(-3000)}`,
    60_000,
  );
  return { discoveryPort: grpc, program };
}
