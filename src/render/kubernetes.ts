import { basename, dirname } from 'node:path';
import { because, type Tree } from './annotated.js';
import { configMapKey } from './config-files.js';
import { type PodOptions, podVolumes, policiesName, sidecarContainer, userId } from './pod.js';

export interface KubernetesOptions extends PodOptions {
  readonly namespace: string;
  /** Name of the Deployment that the patch is for. */
  readonly deployment: string;
}

/** ConfigMaps with the configuration's files: path below the configuration's folder → text. */
export function configMaps(
  files: ReadonlyMap<string, string>,
  options: KubernetesOptions,
): readonly Tree[] {
  const { configMap: name, namespace, policyFolder } = options;
  const isPolicy = (path: string) => dirname(path) === policyFolder;
  const map = (of: string, data: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: of, namespace },
    data,
  });
  const plain = [...files].filter(([path]) => !isPolicy(path));
  const policies = [...files].filter(([path]) => isPolicy(path));
  return [
    map(name, Object.fromEntries(plain.map(([path, text]) => [configMapKey(path), text]))),
    ...(policyFolder === undefined
      ? []
      : [
          map(
            policiesName(options),
            Object.fromEntries(policies.map(([path, text]) => [basename(path), text])),
          ),
        ]),
  ];
}

/** A patch (`kubectl patch --patch-file`, kustomize) that attaches the sidecar to a Deployment. */
export function deploymentPatch(options: KubernetesOptions): Tree {
  const { socketFolder, deployment, namespace } = options;
  return because(
    'A patch for a Deployment; inject writes the same into a manifest. Beside other init containers it must be the first.',
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: deployment, namespace },
      spec: {
        template: {
          spec: {
            securityContext:
              socketFolder === undefined
                ? undefined
                : because("The group of the volumes: Envoy's container may use the socket by it.", {
                    fsGroup: userId,
                  }),
            initContainers: [sidecarContainer(options)],
            volumes: podVolumes(options),
          },
        },
      },
    },
  );
}
