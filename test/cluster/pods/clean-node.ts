import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** The bridge of the pods; the node's own address is the first of its network. */
export const bridge = 'countersign0';
export const nodeIp = '10.244.7.1';
/** All containers are in this cgroup, so that they can be found and ended. */
export const cgroup = 'countersign-test';

/** What the kubelet and the bridge plugin change in the kernel. */
const settings = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
  'net/ipv4/ip_forward',
  'net/ipv4/conf/all/route_localnet',
];
const forward = ['FORWARD', '-i', bridge, '-o', bridge, '-j', 'ACCEPT'];

interface Before {
  readonly settings: Readonly<Record<string, string>>;
  readonly namespaces: readonly string[];
}

const stateFile = (folder: string) => join(folder, 'node-before.json');

function list(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function quietly(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function mustRun(command: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}

/** The roots of the cgroup hierarchies: one of cgroup v2, or one for each controller of v1. */
function cgroupRoots(): readonly string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup' || type === 'cgroup2')
    .map(([, path = '']) => path);
}

/**
 * Remembers the kernel settings in `folder`, then makes the bridge, the rule that lets pods reach
 * each other, and the cgroup. Refuses when a bridge of that name is there: another run uses it.
 */
export function prepareNode(folder: string): void {
  if (existsSync(`/sys/class/net/${bridge}`)) {
    throw new Error(
      `the bridge ${bridge} is there already: ip link del ${bridge}, if no run uses it`,
    );
  }
  const read = (name: string) => readFileSync(`/proc/sys/${name}`, 'utf8').trim();
  const before: Before = {
    settings: Object.fromEntries(settings.map((name) => [name, read(name)])),
    namespaces: list('/run/netns'),
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(stateFile(folder), JSON.stringify(before));
  mustRun('ip', ['link', 'add', bridge, 'type', 'bridge']);
  mustRun('ip', ['addr', 'add', `${nodeIp}/24`, 'dev', bridge]);
  mustRun('ip', ['link', 'set', bridge, 'up']);
  mustRun('iptables', ['-w', '-I', ...forward]);
  for (const root of cgroupRoots()) makeCgroup(root);
}

function makeCgroup(root: string): void {
  const path = join(root, cgroup);
  mkdirSync(path, { recursive: true });
  // A cpuset of cgroup v1 takes no process before it has these.
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (existsSync(join(path, name)) && readFileSync(join(path, name), 'utf8').trim() === '') {
      const parent = join(root, name);
      if (existsSync(parent)) writeFileSync(join(path, name), readFileSync(parent));
    }
  }
}

/**
 * Ends every process of the node in `folder` and takes everything back that it changed. Works after
 * any kind of end, and does nothing where no node was.
 */
export function cleanNode(folder: string): void {
  if (!existsSync(stateFile(folder))) return;
  const before: Before = JSON.parse(readFileSync(stateFile(folder), 'utf8'));
  for (let round = 0; round < 5; round += 1) {
    for (const pid of [...pidsNaming(folder), ...pidsInCgroup()]) quietlyKill(pid);
    spawnSync('sleep', ['0.2']);
  }
  for (const mount of mountsUnder(folder)) quietly('umount', ['-l', mount]);
  for (const name of list('/run/netns').filter((found) => !before.namespaces.includes(found))) {
    quietly('umount', ['-l', `/run/netns/${name}`]);
    rmSync(`/run/netns/${name}`, { force: true });
  }
  while (quietly('iptables', ['-w', '-D', ...forward]));
  quietly('ip', ['link', 'del', bridge]);
  for (const root of cgroupRoots()) removeCgroup(join(root, cgroup));
  for (const [name, value] of Object.entries(before.settings)) {
    writeFileSync(`/proc/sys/${name}`, value);
  }
  rmSync(stateFile(folder));
}

function quietlyKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** The node's own programs and containerd's shims: the folder is in their command lines. */
function pidsNaming(folder: string): readonly number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && pid !== process.ppid)
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        const [program = ''] = line.split('\0');
        return (
          /(kubelet|containerd|containerd-shim-runc-v2)$/.test(program) && line.includes(folder)
        );
      } catch {
        return false;
      }
    });
}

function pidsInCgroup(): readonly number[] {
  const pids = new Set<number>();
  for (const root of cgroupRoots()) {
    const top = join(root, cgroup);
    if (!existsSync(top)) continue;
    for (const name of ['.', ...readdirSync(top, { recursive: true, encoding: 'utf8' })]) {
      const file = join(top, name, 'cgroup.procs');
      if (!existsSync(file)) continue;
      for (const pid of readFileSync(file, 'utf8').split('\n'))
        if (pid !== '') pids.add(Number(pid));
    }
  }
  return [...pids];
}

/** The deepest first. */
function mountsUnder(folder: string): readonly string[] {
  return readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  }
  try {
    rmdirSync(path);
  } catch {
    // A process that is about to end is still in it; the next run removes it.
  }
}
