import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { root } from '../../../envoy/find-envoy.js';
import { cluster } from '../cluster.js';
import { type Manifest, podTemplate } from '../kubectl.js';
import { eventually } from '../program.js';

const folder = join(root, 'k8s', 'injection');
const namespace = 'injection';

interface Named {
  readonly name: string;
}

interface Container extends Named {
  readonly image: string;
  readonly restartPolicy?: string;
  readonly volumeMounts?: readonly Named[];
}

interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Named[];
  readonly securityContext?: { readonly fsGroup?: number };
  readonly serviceAccountName?: string;
}

interface Pod extends Manifest {
  readonly spec: PodSpec;
}

const app: Container = { name: 'app', image: 'app:local' };
const labelled = { 'countersign/inject': 'true' };
const own = (changes: Partial<Container>): Container => ({
  name: 'countersign',
  image: 'countersign:local',
  ...changes,
});

function pod(
  spec: Partial<PodSpec> = {},
  labels: Readonly<Record<string, string>> = labelled,
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'subject', namespace, labels },
    spec: { containers: [app], ...spec },
  };
}

/** The pod as the API server would store it. */
async function admitted(manifest: Pod): Promise<PodSpec> {
  const text = await cluster().kubectl.apply([manifest], ['--dry-run=server', '-o', 'json']);
  const { spec }: Pod = JSON.parse(text);
  return spec;
}

const names = (list: readonly Named[] | undefined) => (list ?? []).map(({ name }) => name);

async function isInjected(): Promise<boolean> {
  const outcome = await cluster().kubectl.run(
    ['apply', '--dry-run=server', '-o', 'json', '-f', '-'],
    JSON.stringify(pod()),
  );
  return outcome.code === 0 && outcome.stdout.includes('"countersign"');
}

describe('injection by the API server', () => {
  before(async function () {
    this.timeout(120_000);
    const { kubectl, addNamespace } = cluster();
    await addNamespace(namespace);
    await kubectl.must(['apply', '-k', folder]);
    await eventually(
      async () => ((await isInjected()) ? true : undefined),
      () => 'the policies do not take effect',
    );
  });
  after(() =>
    cluster().kubectl.must(['delete', '-k', folder, '--wait=false', '--ignore-not-found']),
  );

  it('gives a labelled pod the sidecar, its volumes and the group of its socket', async () => {
    const { initContainers, volumes, securityContext } = await admitted(pod());
    expect(names(initContainers)).to.deep.equal(['countersign']);
    expect(names(volumes)).to.include.members([
      'countersign-config',
      'countersign-policies',
      'countersign-socket',
    ]);
    expect(securityContext?.fsGroup).to.equal(65532);
  });

  it('puts it before the init containers that are there', async () => {
    const migrate = { name: 'migrate', image: 'app:local' };
    const { initContainers } = await admitted(pod({ initContainers: [migrate] }));
    expect(names(initContainers)).to.deep.equal(['countersign', 'migrate']);
  });

  it('mounts the socket into the container envoy, and into no other', async () => {
    const envoy = { name: 'envoy', image: 'envoy:local' };
    const { containers } = await admitted(pod({ containers: [app, envoy] }));
    const mounts = new Map(containers.map(({ name, volumeMounts }) => [name, names(volumeMounts)]));
    expect(mounts.get('envoy')).to.include('countersign-socket');
    expect(mounts.get('app')).to.not.include('countersign-socket');
  });

  it('leaves a group that the pod chose, and a volume of that name', async () => {
    const socket = { name: 'countersign-socket', emptyDir: {} };
    const spec = await admitted(pod({ securityContext: { fsGroup: 7 }, volumes: [socket] }));
    expect(spec.securityContext?.fsGroup).to.equal(7);
    expect(names(spec.volumes).filter((name) => name === socket.name)).to.have.lengthOf(1);
  });

  it('leaves a pod alone that carries the sidecar already', async () => {
    const once = await admitted(pod());
    expect(await admitted(pod(once))).to.deep.equal(once);
  });

  it('leaves a pod alone that does not ask for it', async () => {
    expect(names((await admitted(pod({}, {}))).initContainers)).to.deep.equal([]);
  });

  it('makes the very pod that the Component makes', async () => {
    const { kubectl } = cluster();
    const template = async (kustomization: string, labels: Readonly<Record<string, string>>) => {
      const manifests = await kubectl.kustomize(join(root, 'k8s', kustomization));
      const { spec: given } = podTemplate<PodSpec>(manifests);
      // The base's own service account is not in this namespace.
      const spec = await admitted(pod({ ...given, serviceAccountName: 'default' }, labels));
      const byName = (a: Named, b: Named) => a.name.localeCompare(b.name);
      return { ...spec, volumes: [...(spec.volumes ?? [])].sort(byName) };
    };
    expect(await template('base', labelled)).to.deep.equal(await template('example', {}));
  });

  const refused: readonly { name: string; spec: Partial<PodSpec>; want: string }[] = [
    {
      name: 'whose sidecar runs only once',
      spec: { initContainers: [own({})] },
      want: 'the init container countersign must be a native sidecar (restartPolicy Always)',
    },
    {
      name: 'whose sidecar is another image',
      spec: { initContainers: [own({ image: 'evil:latest', restartPolicy: 'Always' })] },
      want: 'the sidecar countersign must run the image countersign:local',
    },
  ];
  for (const { name, spec, want } of refused) {
    it(`refuses a pod ${name}`, async () => {
      expect(await cluster().kubectl.refusal([pod(spec)])).to.include(want);
    });
  }

  describe('that is broken', () => {
    /** What the API server says once it refuses the labelled pod. */
    const refusal = (otherwise: string) =>
      eventually(
        async () => {
          const { code, stderr } = await cluster().kubectl.run(
            ['apply', '--dry-run=server', '-f', '-'],
            JSON.stringify(pod()),
          );
          return code === 0 ? undefined : stderr;
        },
        () => otherwise,
      );

    it('refuses a labelled pod while the image is not said', async () => {
      const { kubectl } = cluster();
      const settings = ['configmap', '-n', 'countersign-system', 'countersign-injection'];
      await kubectl.must(['delete', ...settings]);
      const said = await refusal('a labelled pod is taken without parameters');
      expect(said).to.include('no params found');
      await kubectl.must(['apply', '-k', folder]);
      await eventually(
        async () => ((await isInjected()) ? true : undefined),
        () => 'the policies do not come back',
      );
    });

    it('refuses a labelled pod when nothing injects any more, and no other pod', async () => {
      const { kubectl } = cluster();
      await kubectl.must(['delete', 'mutatingadmissionpolicybinding', 'countersign-injection']);
      const said = await refusal('a labelled pod is taken without the sidecar');
      expect(said).to.include('must carry the init container countersign');
      expect(names((await admitted(pod({}, {}))).containers)).to.deep.equal(['app']);
    });
  });
});
