import { because, type Tree } from './annotated.js';

/** What a pod needs for Countersign as a sidecar; the names are the same wherever it is made. */
export interface PodOptions {
  readonly image: string;
  /** ConfigMap with `countersign.yaml` and the files that it names. */
  readonly configMap: string;
  /** Key of the ConfigMap → path below /etc/countersign; none: the keys are the paths. */
  readonly items: ReadonlyMap<string, string>;
  /** Folder of the socket that Envoy's container shares; undefined where Countersign listens on TCP. */
  readonly socketFolder: string | undefined;
  readonly adminPort: number;
}

export const containerName = 'countersign';
export const configFolder = '/etc/countersign';
export const configVolume = 'countersign-config';
export const socketVolume = 'countersign-socket';
/** Nobody's: the image has no other user. */
export const userId = 65532;
const adminPortName = 'authz-admin';

/** The container, to stand first among the init containers. */
export function sidecarContainer({ image, socketFolder, adminPort }: PodOptions): Tree {
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
    volumeMounts: [
      { name: configVolume, mountPath: configFolder, readOnly: true },
      ...(socketFolder === undefined ? [] : [{ name: socketVolume, mountPath: socketFolder }]),
    ],
  };
}

export function podVolumes({ configMap, items, socketFolder }: PodOptions): readonly Tree[] {
  const listed = [...items].map(([key, path]) => ({ key, path }));
  const source = { name: configMap, items: listed.length === 0 ? undefined : listed };
  const socket = because('The socket: in memory, shared with the container of Envoy alone.', {
    name: socketVolume,
    emptyDir: { medium: 'Memory' },
  });
  return [
    { name: configVolume, configMap: source },
    ...(socketFolder === undefined ? [] : [socket]),
  ];
}
