import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../../envoy/find-envoy.js';

const exec = promisify(execFile);

type Module = 'kubernetes' | 'istio' | 'gateway';

/** Every tool that is built here: the Go module that pins it, and the package in it. */
const packages = {
  'kube-apiserver': ['kubernetes', 'k8s.io/kubernetes/cmd/kube-apiserver'],
  kubectl: ['kubernetes', 'k8s.io/kubernetes/cmd/kubectl'],
  kubelet: ['kubernetes', 'k8s.io/kubernetes/cmd/kubelet'],
  'kube-controller-manager': ['kubernetes', 'k8s.io/kubernetes/cmd/kube-controller-manager'],
  'kube-scheduler': ['kubernetes', 'k8s.io/kubernetes/cmd/kube-scheduler'],
  'pilot-discovery': ['istio', 'istio.io/istio/pilot/cmd/pilot-discovery'],
  'pilot-agent': ['istio', 'istio.io/istio/pilot/cmd/pilot-agent'],
  egctl: ['gateway', 'github.com/envoyproxy/gateway/cmd/egctl'],
} as const satisfies Record<string, readonly [Module, string]>;

export type Tool = keyof typeof packages;

/** What the parts without pods need. */
export const controlPlaneTools: readonly Tool[] = [
  'kube-apiserver',
  'kubectl',
  'pilot-discovery',
  'egctl',
];
/** What pods need beside them. */
export const podTools: readonly Tool[] = [
  'kubelet',
  'kube-controller-manager',
  'kube-scheduler',
  'pilot-agent',
];

/** Kubernetes' programs compare their versions, and only the linker can tell them theirs. */
function linkerFlags(module: Module): string {
  if (module !== 'kubernetes') return '-s -w';
  const pinned = readFileSync(join(moduleFolder(module), 'go.mod'), 'utf8');
  const [, version = '', major, minor] =
    /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(pinned) ?? [];
  const at = 'k8s.io/component-base/version';
  return `-s -w -X ${at}.gitVersion=${version} -X ${at}.gitMajor=${major} -X ${at}.gitMinor=${minor}`;
}

const cache = join(
  process.env['COUNTERSIGN_CACHE'] ??
    join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'countersign'),
  'cluster',
);

/** Where a tool's binary is, once `buildTools` has made it. */
export function toolPath(tool: Tool): string {
  return join(cache, 'bin', tool);
}

function moduleFolder(module: Module): string {
  return join(root, 'test', 'cluster', 'tools', module);
}

/**
 * Builds what is not in the cache yet, from the modules that test/cluster/tools pins, one module
 * after the other, since a build takes gigabytes.
 * @param say told in a sentence what is built, why, and how long it took
 */
export async function buildTools(
  tools: readonly Tool[],
  say: (text: string) => void,
): Promise<void> {
  for (const module of ['kubernetes', 'istio', 'gateway'] as const) {
    const all = tools.filter((tool) => packages[tool][0] === module);
    const missing: Tool[] = [];
    for (const tool of all) if (!(await isCurrent(tool))) missing.push(tool);
    if (missing.length > 0) await build(module, missing, say);
  }
}

/**
 * Whether the cached binary is made of the very modules that are pinned: Go writes each module's
 * version and content hash into a binary, and go.sum has them.
 */
async function isCurrent(tool: Tool): Promise<boolean> {
  if (!existsSync(toolPath(tool))) return false;
  const folder = moduleFolder(packages[tool][0]);
  const sums = new Set(readFileSync(join(folder, 'go.sum'), 'utf8').split('\n'));
  const { stdout } = await exec('go', ['version', '-m', toolPath(tool)]).catch(() => ({
    stdout: '',
  }));
  const hashed = [...stdout.matchAll(/^\t(?:mod|dep|=>)\t(\S+)\t(\S+)\t(h1:\S+)$/gm)];
  return (
    hashed.length > 0 &&
    hashed.every(([, path, version, hash]) => sums.has(`${path} ${version} ${hash}`))
  );
}

async function build(
  module: Module,
  tools: readonly Tool[],
  say: (text: string) => void,
): Promise<void> {
  mkdirSync(join(cache, 'bin'), { recursive: true });
  const target = mkdtempSync(join(cache, 'building-'));
  say(
    `Building ${tools.join(', ')} into ${join(cache, 'bin')}, once: with an empty Go cache about ` +
      '6 minutes for each of Kubernetes and Istio and 4 for Envoy Gateway on two free cores, and 3 GB of memory …',
  );
  const started = Date.now();
  try {
    await run(
      'go',
      [
        ...['build', '-trimpath', '-ldflags', linkerFlags(module), '-o', `${target}/`],
        ...tools.map((tool) => packages[tool][1]),
      ],
      moduleFolder(module),
    );
    for (const tool of tools) renameSync(join(target, tool), toolPath(tool));
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
  say(`Built ${tools.join(', ')} in ${Math.round((Date.now() - started) / 1000)} s.`);
}

function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  const env = { ...process.env, CGO_ENABLED: '0' };
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args[0]} ended with ${code}`)),
    );
  });
}

/** The folder of a Go module that the tools are built from; it has the CRDs. */
export async function moduleSource(module: Module, path: string): Promise<string> {
  const { stdout } = await exec('go', ['mod', 'download', '-json', path], {
    cwd: moduleFolder(module),
  });
  const found: unknown = JSON.parse(stdout);
  if (typeof found === 'object' && found !== null && 'Dir' in found) return String(found.Dir);
  throw new Error(`no folder for ${path}`);
}
