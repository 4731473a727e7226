import { because, type Tree } from './annotated.js';

/** What a pod needs for Countersign as a sidecar; the names are the same wherever it is made. */
export interface PodOptions {
  readonly image: string;
  /** ConfigMap with `countersign.yaml` and the files that it names. */
  readonly configMap: string;
  /** Key of the ConfigMap → path below /etc/countersign; none: the keys are the paths. */
  readonly items: ReadonlyMap<string, string>;
  /**
   * Folder of the policies, below the configuration's, which has a ConfigMap of its own (the other's
   * name and `-policies`), so that a new policy needs no change of the pod; undefined: among the items.
   */
  readonly policyFolder: string | undefined;
  /** Folder of the socket that Envoy's container shares; undefined where Countersign listens on TCP. */
  readonly socketFolder: string | undefined;
  readonly adminPort: number;
}

export const containerName = 'countersign';
export const configFolder = '/etc/countersign';
const configVolume = 'countersign-config';
const policyVolume = 'countersign-policies';
export const socketVolume = 'countersign-socket';
/** Nobody's: the image has no other user. */
export const userId = 65532;
const adminPortName = 'countersign';

/** The container, to stand first among the init containers. */
export function sidecarContainer(options: PodOptions): Tree {
  const { image, adminPort } = options;
  const probe = (path: string) => ({ path, port: adminPortName });
  return {
    name: containerName,
    image,
    restartPolicy: because(
      'A native sidecar (Kubernetes 1.29 or newer): it starts before the other containers and ends after them.',
      'Always',
    ),
    args: ['serve', '-c', `${configFolder}/countersign.yaml`],
    ports: [{ name: adminPortName, containerPort: adminPort }],
    startupProbe: because('The application starts when a policy is loaded.', {
      httpGet: probe('/readyz'),
      periodSeconds: 1,
      failureThreshold: 60,
    }),
    readinessProbe: { httpGet: probe('/readyz'), periodSeconds: 5 },
    livenessProbe: { httpGet: probe('/healthz'), periodSeconds: 10 },
    resources: { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '256Mi' } },
    securityContext: {
      runAsNonRoot: true,
      runAsUser: userId,
      runAsGroup: userId,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: mounts(options),
  };
}

function mounts({ policyFolder, socketFolder }: PodOptions): readonly Tree[] {
  const policies = `${configFolder}/${policyFolder}`;
  return [
    { name: configVolume, mountPath: configFolder, readOnly: true },
    ...(policyFolder === undefined
      ? []
      : [{ name: policyVolume, mountPath: policies, readOnly: true }]),
    ...(socketFolder === undefined ? [] : [{ name: socketVolume, mountPath: socketFolder }]),
  ];
}

/** The name of the ConfigMap that has the policies alone. */
export function policiesName({ configMap }: PodOptions): string {
  return `${configMap}-policies`;
}

export function podVolumes(options: PodOptions): readonly Tree[] {
  const { configMap, items, policyFolder, socketFolder } = options;
  const listed = [...items].map(([key, path]) => ({ key, path }));
  const source = { name: configMap, items: listed.length === 0 ? undefined : listed };
  const policies = { name: policyVolume, configMap: { name: policiesName(options) } };
  const socket = because('The socket: in memory, shared with the container of Envoy alone.', {
    name: socketVolume,
    emptyDir: { medium: 'Memory', sizeLimit: '1Mi' },
  });
  return [
    { name: configVolume, configMap: source },
    ...(policyFolder === undefined ? [] : [policies]),
    ...(socketFolder === undefined ? [] : [socket]),
  ];
}
