import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { findEnvoy, root } from '../../../envoy/find-envoy.js';
import { cluster } from '../cluster.js';
import { installCrds } from '../crds.js';
import { type Manifest, manifestsOf, podTemplate } from '../kubectl.js';

const exec = promisify(execFile);
const k8s = join(root, 'k8s');

/** What the repository has for `kubectl apply -k` and `-f`. */
const kustomizations = ['base', 'example', 'injection', 'istio'];
const single = ['istio/envoy-filter.yaml'];
/** What other programs read: Envoy, Countersign and istiod. The tests below, and istio/, load them. */
const others = [
  'base/envoy.yaml',
  'example/countersign.yaml',
  'example/policies/orders.yaml',
  'istio/mesh-config.yaml',
  'istio/countersign.yaml',
  'istio/policies/orders.yaml',
];

function filesOf(kustomization: string): readonly string[] {
  const text = readFileSync(join(k8s, kustomization, 'kustomization.yaml'), 'utf8');
  const [parsed] = manifestsOf(text);
  const resources = [parsed?.['resources']].flat().map(String);
  return ['kustomization.yaml', ...resources.filter((name) => name.endsWith('.yaml'))].map(
    (name) => `${kustomization}/${name}`,
  );
}

describe('the files of k8s/', () => {
  before(async function () {
    this.timeout(120_000);
    const { kubectl, addNamespace } = cluster();
    await addNamespace('manifests');
    await kubectl.must(['create', 'namespace', 'istio-system']);
    await installCrds(kubectl);
  });

  it('are all applied or loaded by these tests', () => {
    const found = readdirSync(k8s, { recursive: true, encoding: 'utf8' });
    expect(found.filter((name) => name.endsWith('.yaml'))).to.have.members([
      ...kustomizations.flatMap(filesOf),
      ...single,
      ...others,
      ...['component/kustomization.yaml', 'component/sidecar.yaml'],
    ]);
  });

  for (const folder of kustomizations) {
    it(`are taken by the API server: k8s/${folder}`, async () => {
      const { kubectl } = cluster();
      // The objects of injection/ are created in a namespace that a dry run does not create.
      await kubectl.must(['create', 'namespace', `try-${folder}`]);
      const manifests = (await kubectl.kustomize(join(k8s, folder))).map((manifest) =>
        manifest.metadata.namespace === 'countersign-system'
          ? { ...manifest, metadata: { ...manifest.metadata, namespace: `try-${folder}` } }
          : manifest,
      );
      const said = await kubectl.apply(manifests, [
        '--dry-run=server',
        // An object of another namespace keeps it only when none is named.
        ...(manifests.some(({ metadata }) => metadata.namespace) ? [] : ['-n', 'manifests']),
      ]);
      expect(said.trim().split('\n')).to.have.lengthOf(manifests.length);
    });
  }

  for (const file of single) {
    it(`are taken by the API server: k8s/${file}`, async () => {
      await cluster().kubectl.must(['apply', '-n', 'manifests', '-f', join(k8s, file)]);
    });
  }

  it('hold an Envoy configuration that the real Envoy takes', async () => {
    const envoy = await findEnvoy(() => {});
    if (envoy.kind !== 'binary') throw new Error(`this suite needs Envoy's binary: ${envoy.kind}`);
    await exec(envoy.path, ['--mode', 'validate', '-c', join(k8s, 'base', 'envoy.yaml')]);
  });

  for (const folder of ['example', 'istio']) {
    it(`hold a configuration and policies without an error: k8s/${folder}`, async () => {
      const main = join(root, 'build', 'src', 'main.js');
      const file = join(k8s, folder, 'countersign.yaml');
      const { stdout } = await exec(process.execPath, [main, 'validate', '-c', file]);
      expect(stdout).to.include('0 errors');
    });
  }
});

interface PodSpec {
  readonly initContainers?: readonly { readonly name: string; readonly image: string }[];
  readonly volumes?: readonly { readonly name: string }[];
}

describe('the Component k8s/component', () => {
  const deploymentWith = (initContainers: readonly object[]): Manifest => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'other' },
    spec: {
      selector: { matchLabels: { app: 'other' } },
      template: {
        metadata: { labels: { app: 'other' } },
        spec: { initContainers, containers: [{ name: 'app', image: 'other:local' }] },
      },
    },
  });
  const attach = async (manifest: Manifest): Promise<PodSpec> => {
    const { kubectl, folder } = cluster();
    const here = mkdtempSync(join(folder, 'kustomize-'));
    writeFileSync(join(here, 'deployment.yaml'), JSON.stringify(manifest));
    const component = relative(here, join(k8s, 'component'));
    writeFileSync(
      join(here, 'kustomization.yaml'),
      JSON.stringify({ resources: ['deployment.yaml'], components: [component] }),
    );
    const manifests = await kubectl.kustomize(here);
    await kubectl.apply(manifests, ['-n', 'manifests', '--dry-run=server']);
    return podTemplate<PodSpec>(manifests).spec;
  };

  it('attaches to a Deployment without init containers', async () => {
    const { initContainers = [] } = await attach(deploymentWith([]));
    expect(initContainers.map(({ name }) => name)).to.deep.equal(['countersign']);
  });

  it('puts the sidecar before the init containers that are there', async () => {
    const { initContainers = [] } = await attach(
      deploymentWith([{ name: 'migrate', image: 'other:local' }]),
    );
    expect(initContainers.map(({ name }) => name)).to.deep.equal(['countersign', 'migrate']);
  });
});

describe('the API server', () => {
  interface Bad {
    readonly name: string;
    readonly file: string;
    readonly from: string;
    readonly to: string;
    readonly want: RegExp;
  }
  const table: readonly Bad[] = [
    {
      name: 'a probe with a misspelt field',
      file: 'base/orders.yaml',
      from: 'periodSeconds: 2',
      to: 'periodSecond: 2',
      want: /unknown field "spec\.template\.spec\.containers\[0\]\.readinessProbe\.periodSecond"/,
    },
    {
      name: 'a provider with an unknown field',
      file: 'istio/authorization-policy.yaml',
      from: 'provider: { name: countersign }',
      to: 'provider: { nam: countersign }',
      want: /unknown field "spec\.provider\.nam"/,
    },
    {
      name: 'an action that is none',
      file: 'istio/authorization-policy.yaml',
      from: 'action: CUSTOM',
      to: 'action: CUSTOMARY',
      want: /spec\.action: Unsupported value: "CUSTOMARY"/,
    },
    {
      name: 'a service entry with a resolution that is none',
      file: 'istio/service-entry.yaml',
      from: 'resolution: STATIC',
      to: 'resolution: LOCAL',
      want: /spec\.resolution: Unsupported value: "LOCAL"/,
    },
    {
      name: 'a filter for a context that is none',
      file: 'istio/envoy-filter.yaml',
      from: 'context: SIDECAR_INBOUND',
      to: 'context: SIDECAR',
      want: /context: Unsupported value: "SIDECAR"/,
    },
    {
      name: 'a mutation that names what is not there',
      file: 'injection/mutating-policy.yaml',
      from: 'variables.envoy < 0',
      to: 'variables.envoi < 0',
      want: /undefined field 'envoi'/,
    },
    {
      name: 'a validation that is no boolean',
      file: 'injection/validating-policy.yaml',
      from: 'expression: variables.sidecars.size() == 1',
      to: 'expression: variables.sidecars.size()',
      want: /must evaluate to bool/,
    },
  ];
  for (const { name, file, from, to, want } of table) {
    it(`refuses ${name}`, async () => {
      const text = readFileSync(join(k8s, file), 'utf8');
      expect(text).to.include(from);
      const said = await cluster().kubectl.refusal(manifestsOf(text.replace(from, to)));
      expect(said).to.match(want);
    });
  }
});
