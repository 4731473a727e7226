import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reserve } from '../../examples/quickstart/workplace.js';
import { Kubectl } from './kubectl.js';
import { eventually, type Program, startProgram } from './program.js';
import { toolPath } from './tools.js';

/** A real etcd and a real kube-apiserver as plain processes. */
export interface ControlPlane {
  /** Everything it writes is in this folder. */
  readonly folder: string;
  readonly url: string;
  readonly kubectl: Kubectl;
  /** Makes a namespace in which pods are admitted: one with the service account `default`. */
  addNamespace(name: string): Promise<void>;
  /** Writes a kubeconfig for a user of the token file and gives its path. */
  kubeconfig(user: keyof typeof groups): string;
  stop(): Promise<void>;
}

/** The users of the API server, and the groups that say what they may do. */
const groups = { admin: 'system:masters', 'system:node:n1': 'system:nodes' } as const;

/** The issuer of the cluster's service account tokens, the default of most clusters. */
export const clusterIssuer = 'https://kubernetes.default.svc';

/**
 * Starts both and resolves when the API server is ready.
 * @param address where the API server listens; pods reach it only on another than loopback
 */
export async function startControlPlane(
  folder: string,
  address = '127.0.0.1',
): Promise<ControlPlane> {
  mkdirSync(folder, { recursive: true });
  const [client = 0, peer = 0, free = 0] = await reserve(3);
  // Pods find the issuer's keys by its URL, which names no port.
  const secure = address === '127.0.0.1' ? free : 443;
  const etcd = startEtcd(folder, client, peer);
  const tokens = writeCredentials(folder);
  const server = startApiServer(folder, address, secure, client);
  const url = `https://${address}:${secure}`;
  const kubeconfig = (user: keyof typeof groups) =>
    writeKubeconfig(folder, url, user, tokens[user]);
  const kubectl = new Kubectl(kubeconfig('admin'));
  await eventually(
    async () => {
      if (server.hasEnded() || etcd.hasEnded()) {
        throw new Error(`ended: ${etcd.output().slice(-1000)} ${server.output().slice(-2000)}`);
      }
      const { code } = await kubectl.run(['get', '--raw', '/readyz']);
      return code === 0 ? true : undefined;
    },
    () => `the API server is not ready: ${server.output().slice(-2000)}`,
    120_000,
  );
  return {
    folder,
    url,
    kubectl,
    kubeconfig,
    addNamespace: async (name) => {
      await kubectl.must(['create', 'namespace', name]);
      await addDefaultAccount(kubectl, name);
    },
    stop: async () => {
      await server.stop();
      await etcd.stop();
    },
  };
}

/** What the controller manager does for a new namespace. */
export async function addDefaultAccount(kubectl: Kubectl, namespace: string): Promise<void> {
  await kubectl.apply([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } },
  ]);
}

function startEtcd(folder: string, client: number, peer: number): Program {
  const clientUrl = `http://127.0.0.1:${client}`;
  const peerUrl = `http://127.0.0.1:${peer}`;
  return startProgram(folder, 'etcd', 'etcd', {
    args: [
      ...['--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync'],
      ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
      ...['--initial-cluster', `default=${peerUrl}`],
    ],
  });
}

/** The key that signs service account tokens, and a token for each user. */
function writeCredentials(folder: string): Readonly<Record<keyof typeof groups, string>> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const write = (name: string, text: string | Buffer) =>
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  write('sa.key', privateKey.export({ type: 'pkcs8', format: 'pem' }));
  write('sa.pub', publicKey.export({ type: 'spki', format: 'pem' }));
  const tokens = { admin: randomUUID(), 'system:node:n1': randomUUID() };
  const line = (user: keyof typeof groups) => `${tokens[user]},${user},${user},"${groups[user]}"\n`;
  write('tokens.csv', line('admin') + line('system:node:n1'));
  return tokens;
}

function startApiServer(folder: string, address: string, port: number, etcd: number): Program {
  return startProgram(folder, 'kube-apiserver', toolPath('kube-apiserver'), {
    args: [
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      `--cert-dir=${join(folder, 'api-certificates')}`,
      `--bind-address=${address}`,
      `--advertise-address=${address}`,
      `--secure-port=${port}`,
      `--service-account-issuer=${clusterIssuer}`,
      `--service-account-key-file=${join(folder, 'sa.pub')}`,
      `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
      `--token-auth-file=${join(folder, 'tokens.csv')}`,
      '--authorization-mode=Node,RBAC',
      '--service-cluster-ip-range=10.96.0.0/24',
      '--allow-privileged=true',
      '--endpoint-reconciler-type=none',
      '--profiling=false',
      '--kubelet-preferred-address-types=InternalIP',
    ],
  });
}

function writeKubeconfig(folder: string, server: string, user: string, token: string): string {
  const path = join(folder, `${user.replaceAll(':', '-')}.kubeconfig`);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    // The API server makes its certificate itself, for this run.
    clusters: [{ name: 'test', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user } }],
    'current-context': 'test',
  };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
