import { spawn } from 'node:child_process';
import { parseAllDocuments, stringify } from 'yaml';
import { toolPath } from './tools.js';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** An API object as far as it is written by hand here. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [key: string]: unknown;
}

/** The `kubectl` that is built here, as one user of one API server. */
export class Kubectl {
  readonly kubeconfig: string;

  constructor(kubeconfig: string) {
    this.kubeconfig = kubeconfig;
  }

  /** Runs it and gives what it said, whatever its exit code. */
  run(args: readonly string[], input = ''): Promise<Outcome> {
    return runTool(toolPath('kubectl'), ['--kubeconfig', this.kubeconfig, ...args], input);
  }

  /** Runs it and gives its stdout; rejects with what it said when it fails. */
  async must(args: readonly string[], input = ''): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, input);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  apply(manifests: readonly Manifest[], args: readonly string[] = []): Promise<string> {
    return this.must(['apply', '-f', '-', ...args], yamlOf(manifests));
  }

  /** What the API server says against a manifest that it must refuse; rejects when it takes it. */
  async refusal(manifests: readonly Manifest[]): Promise<string> {
    const { code, stderr, stdout } = await this.run(
      ['apply', '--dry-run=server', '-f', '-'],
      yamlOf(manifests),
    );
    if (code === 0) throw new Error(`not refused: ${stdout}`);
    return stderr;
  }

  async get<T>(args: readonly string[]): Promise<T> {
    const parsed: T = JSON.parse(await this.must(['get', '-o', 'json', ...args]));
    return parsed;
  }

  /** The manifests of a kustomization. */
  async kustomize(folder: string): Promise<readonly Manifest[]> {
    return manifestsOf(await this.must(['kustomize', folder]));
  }
}

export function runTool(path: string, args: readonly string[], input = ''): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
    // It may end without reading all.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

export function yamlOf(manifests: readonly Manifest[]): string {
  return manifests.map((manifest) => stringify(manifest)).join('---\n');
}

export function manifestsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document): Manifest => document.toJS());
}

/** The pod template of the one Deployment among these. */
export function podTemplate<Spec>(manifests: readonly Manifest[]): { readonly spec: Spec } {
  const deployment = manifests.find(({ kind }) => kind === 'Deployment');
  if (deployment === undefined) throw new Error('no Deployment');
  const { template } = deployment['spec'] as { template: { spec: Spec } };
  return template;
}
