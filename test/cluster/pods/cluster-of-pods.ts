import { appendFileSync, cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../../envoy/find-envoy.js';
import type { Kubectl } from '../kubectl.js';
import { eventually } from '../program.js';
import { type Node, startNode } from './node.js';

let started: Promise<Node> | undefined;

/** The node that all tests with pods share; the first test that needs it starts it. */
export function node(): Promise<Node> {
  started ??= startNode();
  return started;
}

/** After the last test: ends it, and takes back what it changed. */
export async function mochaGlobalTeardown(): Promise<void> {
  const running = await started?.catch(() => undefined);
  await running?.stop();
}

/**
 * Time for a Check where everything else of a cluster runs on the same few cores: 503 for a passed
 * deadline is right there, and not what these tests are about.
 */
export const patience = { deadline: '5s', timeout: '10s' };

/** A copy of k8s/ with that time, whose example trusts this cluster's own keys, as its comment says. */
export async function exampleFor({ controlPlane: { folder, kubectl } }: Node): Promise<string> {
  const copy = mkdtempSync(join(folder, 'k8s-'));
  cpSync(join(root, 'k8s'), copy, { recursive: true });
  const jwks = await kubectl.must(['get', '--raw', '/openid/v1/jwks']);
  writeFileSync(join(copy, 'example', 'cluster.jwks.json'), jwks);
  appendFileSync(join(copy, 'example', 'countersign.yaml'), `deadline: ${patience.deadline}\n`);
  const envoy = join(copy, 'base', 'envoy.yaml');
  const text = readFileSync(envoy, 'utf8');
  writeFileSync(envoy, text.replace('timeout: 1s #', `timeout: ${patience.timeout} #`));
  return copy;
}

/** Applies k8s/injection, and resolves when the API server acts by it: about a second later. */
export async function startInjection(kubectl: Kubectl): Promise<void> {
  await kubectl.must(['apply', '-k', join(root, 'k8s', 'injection')]);
  const labelled = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'probe', namespace: 'default', labels: { 'countersign/inject': 'true' } },
    spec: { containers: [{ name: 'app', image: 'orders:local' }] },
  };
  const args = ['apply', '--dry-run=server', '-o', 'json', '-f', '-'];
  await eventually(
    async () => {
      const { code, stdout } = await kubectl.run(args, JSON.stringify(labelled));
      return code === 0 && stdout.includes('countersign-socket') ? true : undefined;
    },
    () => 'nothing is injected',
  );
}

export interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
  readonly restartCount: number;
  readonly ready: boolean;
  readonly started?: boolean;
  readonly state: {
    readonly running?: { readonly startedAt: string };
    readonly waiting?: { readonly reason: string };
    readonly terminated?: { readonly finishedAt: string };
  };
}

export interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly podIP?: string;
    readonly phase: string;
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

export async function podsOf(kubectl: Kubectl, namespace: string, app: string): Promise<Pod[]> {
  const list = await kubectl.get<{ items: Pod[] }>(['pods', '-n', namespace, '-l', `app=${app}`]);
  return list.items;
}

export function containersOf({ status }: Pod): readonly ContainerStatus[] {
  return [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
}

export function container(pod: Pod, name: string): ContainerStatus {
  const found = containersOf(pod).find((status) => status.name === name);
  if (found === undefined) throw new Error(`${pod.metadata.name} has no status of ${name} yet`);
  return found;
}

/** Resolves when every replica of the current template is ready and no other pod is left. */
export async function rolledOut(
  kubectl: Kubectl,
  namespace: string,
  deployment: string,
): Promise<void> {
  const { code, stderr } = await kubectl.run([
    ...['rollout', 'status', '-n', namespace, `deployment/${deployment}`, '--timeout=150s'],
  ]);
  if (code !== 0) {
    const { stdout } = await kubectl.run(['describe', 'pods', '-n', namespace]);
    throw new Error(`${stderr}\n${stdout.slice(-6000)}`);
  }
}

/** The addresses of a service that take requests now, as a proxy of it knows them. */
export async function endpointsOf(
  kubectl: Kubectl,
  namespace: string,
  service: string,
): Promise<readonly string[]> {
  interface Slice {
    readonly endpoints?: readonly {
      readonly addresses: readonly string[];
      readonly conditions: { readonly ready?: boolean };
    }[];
  }
  const { items } = await kubectl.get<{ items: readonly Slice[] }>([
    ...['endpointslices', '-n', namespace, '-l', `kubernetes.io/service-name=${service}`],
  ]);
  return items
    .flatMap(({ endpoints = [] }) => endpoints)
    .filter(({ conditions }) => conditions.ready === true)
    .flatMap(({ addresses }) => addresses);
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends a request from this machine, which is on the pods' network; status 0 when none came. */
export async function get(ip: string, path: string, token = ''): Promise<Answer> {
  try {
    const headers: Record<string, string> =
      token === '' ? {} : { authorization: `Bearer ${token}` };
    const signal = AbortSignal.timeout(30_000);
    const answer = await fetch(`http://${ip}:8080${path}`, { headers, signal });
    return { status: answer.status, body: await answer.text() };
  } catch (error) {
    return { status: 0, body: error instanceof Error ? String(error.cause ?? error) : '' };
  }
}

/**
 * Sends one request after the other while something happens.
 * @param next the address of each request
 * @returns how often each status came
 */
export async function statusesWhile(
  happening: () => Promise<unknown>,
  next: () => string | undefined,
  path: string,
  token = '',
): Promise<ReadonlyMap<number, number>> {
  const counts = new Map<number, number>();
  let isOver = false;
  const load = async () => {
    while (!isOver) {
      const ip = next();
      const { status } = ip === undefined ? { status: 0 } : await get(ip, path, token);
      counts.set(status, (counts.get(status) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const loads = [load(), load()];
  try {
    await happening();
  } finally {
    isOver = true;
    await Promise.all(loads);
  }
  return counts;
}

/** Waits for a status of an address. */
export function answers(ip: string, path: string, token: string, want: number): Promise<true> {
  let last = '';
  return eventually(
    async () => {
      const { status, body } = await get(ip, path, token);
      last = `${status} ${body}`;
      return status === want ? true : undefined;
    },
    () => `${path} is not answered with ${want}: ${last}`,
    60_000,
  );
}
