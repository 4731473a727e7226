import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { reserve } from '../../../examples/quickstart/workplace.js';
import { type ControlPlane, startControlPlane } from '../control-plane.js';
import { eventually, type Program, startProgram } from '../program.js';
import { toolPath } from '../tools.js';
import { bridge, cgroup, cleanNode, nodeIp, prepareNode } from './clean-node.js';
import {
  applicationImage,
  countersignImage,
  envoyImage,
  type Image,
  pauseImage,
  writeArchive,
} from './images.js';

const exec = promisify(execFile);

/** A whole cluster of one node: API server, controllers, scheduler, kubelet and containerd. */
export interface Node {
  readonly controlPlane: ControlPlane;
  /** Makes an image known to the node. */
  load(image: Image): Promise<void>;
  /** Ends the first process of a container at once, as a crash does. */
  crash(containerId: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it, with the images of k8s/example, and resolves when the node is ready. */
export async function startNode(): Promise<Node> {
  const folder = mkdtempSync(join(process.env['COUNTERSIGN_CLUSTER_FOLDER'] ?? tmpdir(), 'node-'));
  const programs: Program[] = [];
  let controlPlane: ControlPlane | undefined;
  const stop = async () => {
    await controlPlane?.kubectl.run([
      ...['delete', 'deployment,pod', '--all', '--all-namespaces', '--timeout=60s'],
    ]);
    for (const program of programs.reverse()) await program.stop();
    await controlPlane?.stop();
    cleanNode(folder);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    prepareNode(folder);
    controlPlane = await startControlPlane(folder, nodeIp);
    programs.push(startContainerd(folder));
    const load = async (image: Image) => {
      const archive = await writeArchive(folder, image);
      await ctr(folder, ['image', 'import', '--local', archive]).catch(() =>
        ctr(folder, ['image', 'import', archive]),
      );
      rmSync(archive);
    };
    await waitForContainerd(folder);
    for (const image of [pauseImage, countersignImage, applicationImage, envoyImage]) {
      await load(image);
    }
    programs.push(...(await startControllers(controlPlane)), startKubelet(controlPlane));
    await waitForNode(controlPlane, programs);
    return {
      controlPlane,
      load,
      crash: async (id) => {
        await ctr(folder, ['task', 'kill', '--signal', 'SIGKILL', id.replace('containerd://', '')]);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function ctr(folder: string, args: readonly string[]) {
  return exec('ctr', ['--namespace', 'k8s.io', '--address', join(folder, 'c.sock'), ...args]);
}

function startContainerd(folder: string): Program {
  const cni = join(folder, 'cni');
  mkdirSync(cni);
  const plugins = [
    {
      type: 'bridge',
      bridge,
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        dataDir: join(folder, 'addresses'),
        ranges: [[{ subnet: '10.244.7.0/24' }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
  ];
  writeFileSync(
    join(cni, '10-bridge.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'countersign-test', plugins }),
  );
  const file = join(folder, 'containerd.toml');
  writeFileSync(file, containerdConfig(folder, cni));
  return startProgram(folder, 'containerd', 'containerd', { args: ['--config', file] });
}

function containerdConfig(folder: string, cni: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `
version = 2
root = "${folder}/containerd"
state = "${folder}/containerd-run"
[grpc]
  address = "${folder}/c.sock"
[${cri}]
  sandbox_image = "docker.io/library/countersign-pause:local"
  disable_apparmor = true
  restrict_oom_score_adj = true
[${cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${cni}"
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/containerd-opt"
`;
}

async function waitForContainerd(folder: string): Promise<void> {
  await eventually(
    async () => {
      try {
        await ctr(folder, ['version']);
        return true;
      } catch {
        return undefined;
      }
    },
    () => 'containerd does not answer',
  );
}

async function startControllers({ folder, kubeconfig }: ControlPlane): Promise<Program[]> {
  const [managerPort = 0, schedulerPort = 0] = await reserve(2);
  const shared = (port: number) => [
    `--kubeconfig=${kubeconfig('admin')}`,
    '--leader-elect=false',
    `--bind-address=127.0.0.1`,
    `--secure-port=${port}`,
  ];
  return [
    startProgram(folder, 'kube-controller-manager', toolPath('kube-controller-manager'), {
      args: [
        ...shared(managerPort),
        `--service-account-private-key-file=${join(folder, 'sa.key')}`,
        `--root-ca-file=${join(folder, 'api-certificates', 'apiserver.crt')}`,
      ],
    }),
    startProgram(folder, 'kube-scheduler', toolPath('kube-scheduler'), {
      args: shared(schedulerPort),
    }),
  ];
}

function startKubelet({ folder, kubeconfig }: ControlPlane): Program {
  const file = join(folder, 'kubelet.yaml');
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}`,
    containerRuntimeEndpoint: `unix://${folder}/c.sock`,
    // Only this machine and its pods reach the bridge.
    address: nodeIp,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    healthzPort: 0,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    localStorageCapacityIsolation: false,
    evictionHard: { 'memory.available': '50Mi' },
    imageGCHighThresholdPercent: 100,
    syncFrequency: '5s',
    podLogsDir: join(folder, 'logs'),
  };
  writeFileSync(file, stringify(config));
  return startProgram(folder, 'kubelet', toolPath('kubelet'), {
    args: [
      ...['--config', file, '--kubeconfig', kubeconfig('system:node:n1')],
      ...['--root-dir', join(folder, 'kubelet'), '--hostname-override', 'n1', '--node-ip', nodeIp],
    ],
  });
}

async function waitForNode({ kubectl }: ControlPlane, programs: readonly Program[]): Promise<void> {
  await eventually(
    async () => {
      const ended = programs.find((program) => program.hasEnded());
      if (ended !== undefined) {
        throw new Error(`${ended.name} ended: ${ended.output().slice(-3000)}`);
      }
      const { stdout } = await kubectl.run([
        ...['get', 'node', 'n1', '-o'],
        'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints}',
      ]);
      return stdout.trim() === 'True' ? true : undefined;
    },
    () => `the node is not ready: ${programs.at(-1)?.output().slice(-3000)}`,
    90_000,
  );
}
