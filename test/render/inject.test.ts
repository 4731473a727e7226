import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parse, parseAllDocuments } from 'yaml';
import { type Injected, injectSidecar, type Proxies } from '../../src/render/inject.js';
import type { PodOptions } from '../../src/render/pod.js';

const socket: PodOptions = {
  image: 'countersign:local',
  configMap: 'countersign',
  items: new Map(),
  policyFolder: 'policies',
  socketFolder: '/run/countersign',
  adminPort: 9192,
};
const envoy: Proxies = { names: ['envoy', 'istio-proxy'], isIstio: false };

function inject(text: string, options = socket, proxies = envoy): Injected {
  const injected = injectSidecar(text, options, proxies);
  if ('error' in injected) throw new Error(injected.error);
  return injected;
}

const folder = 'test/render/inject';
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.in.yaml'))
  .map((name) => name.replace('.in.yaml', ''));
const read = (name: string) => readFileSync(`${folder}/${name}.yaml`, 'utf8');

interface PodSpec {
  initContainers: { name: string; volumeMounts?: object[]; ports?: object[] }[];
  containers: { name: string; volumeMounts?: object[] }[];
  volumes: object[];
  securityContext?: object;
}
const specOf = (text: string): PodSpec => parse(text).spec;
const pod = (spec: object, more: object = {}) =>
  JSON.stringify({ kind: 'Pod', metadata: { name: 'p' }, ...more, spec });
const app = { name: 'app', image: 'app:1' };

describe('injecting the sidecar', () => {
  for (const name of names) {
    it(`writes ${name}.out.yaml, with comments and order kept`, () => {
      expect(inject(read(`${name}.in`)).text).to.equal(read(`${name}.out`));
    });

    it(`leaves ${name}.out.yaml as it is: twice is once`, () => {
      const { text, said } = inject(read(`${name}.out`));
      expect(text).to.equal(read(`${name}.out`));
      expect(said.join('\n')).to.not.include('is added');
    });

    it(`keeps every line of ${name}.in.yaml but blanks, in order`, () => {
      const lines = (text: string) => text.split('\n').map((line) => line.replace(/\s+/g, ' '));
      const kept = lines(read(`${name}.out`));
      const lost = lines(read(`${name}.in`)).filter((line) => {
        const at = kept.indexOf(line);
        kept.splice(0, at + 1);
        return at < 0;
      });
      expect(lost).to.deep.equal([]);
    });
  }

  for (const kind of ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job']) {
    it(`knows where a ${kind} has its pod`, () => {
      const text = JSON.stringify({ kind, spec: { template: { spec: { containers: [app] } } } });
      const { spec } = parse(inject(text).text).spec.template;
      expect(spec.initContainers[0].name).to.equal('countersign');
    });
  }

  it('writes what k8s/component has', () => {
    const component = parse(readFileSync('k8s/component/sidecar.yaml', 'utf8')).spec.template.spec;
    const { initContainers, volumes, securityContext } = specOf(
      inject(pod({ containers: [app] })).text,
    );
    expect({ initContainers, volumes, securityContext }).to.deep.equal(component);
  });

  it('stands first among the init containers', () => {
    const { text } = inject(pod({ initContainers: [{ name: 'one' }], containers: [app] }));
    expect(specOf(text).initContainers.map(({ name }) => name)).to.deep.equal([
      'countersign',
      'one',
    ]);
  });

  it('is a native sidecar that has little and may do less', () => {
    const [container] = specOf(inject(pod({ containers: [app] })).text).initContainers;
    expect(container).to.deep.include({
      restartPolicy: 'Always',
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      },
    });
    expect(container).to.include.all.keys('startupProbe', 'readinessProbe', 'livenessProbe');
  });

  it("gives the socket to Envoy's container and to no other", () => {
    const containers = [app, { name: 'envoy', image: 'envoy:1' }];
    const spec = specOf(inject(pod({ containers })).text);
    const mount = { name: 'countersign-socket', mountPath: '/run/countersign' };
    expect(spec.containers.map(({ volumeMounts }) => volumeMounts)).to.deep.equal([
      undefined,
      [mount],
    ]);
    expect(spec.securityContext).to.deep.equal({ fsGroup: 65_532 });
  });

  it('has no socket where Countersign listens on TCP', () => {
    const containers = [{ name: 'envoy', image: 'envoy:1' }];
    const { text } = inject(pod({ containers }), { ...socket, socketFolder: undefined });
    expect(text).to.not.include('countersign-socket');
    expect(specOf(text).securityContext).to.equal(undefined);
  });

  it('puts the files of the ConfigMap where the configuration names them', () => {
    const items = new Map([['policies.orders.yaml', 'policies/orders.yaml']]);
    const { volumes } = specOf(inject(pod({ containers: [app] }), { ...socket, items }).text);
    expect(volumes[0]).to.deep.equal({
      name: 'countersign-config',
      configMap: {
        name: 'countersign',
        items: [{ key: 'policies.orders.yaml', path: 'policies/orders.yaml' }],
      },
    });
  });

  const annotation = 'sidecar.istio.io/userVolumeMount';
  it("tells Istio's injector to mount the socket, in the metadata of the pod", () => {
    const proxies = { ...envoy, isIstio: true };
    const deployment = { kind: 'Deployment', spec: { template: { spec: { containers: [app] } } } };
    const { template } = parse(inject(JSON.stringify(deployment), socket, proxies).text).spec;
    expect(template.metadata.annotations[annotation]).to.equal(
      '[{"name":"countersign-socket","mountPath":"/run/countersign"}]',
    );
  });

  const rows: readonly { name: string; given: string; says: RegExp; changed: boolean }[] = [
    {
      name: 'an unknown kind',
      given: '{"kind":"Widget"}',
      says: /Widget: has no pod/,
      changed: false,
    },
    { name: 'no kind', given: 'a: 1\n', says: /without kind: has no pod/, changed: false },
    {
      name: 'a Deployment without a pod',
      given: '{"kind":"Deployment","spec":{}}',
      says: /has no spec\.template\.spec/,
      changed: false,
    },
    {
      name: 'a container of that name',
      given: pod({ containers: [{ name: 'countersign' }] }),
      says: /has a container countersign already/,
      changed: false,
    },
    {
      name: 'a group of its own',
      given: pod({ securityContext: { fsGroup: 7 }, containers: [app] }),
      says: /its own fsGroup 7 is kept/,
      changed: true,
    },
    {
      name: 'a volume of that name',
      given: pod({ volumes: [{ name: 'countersign-config' }], containers: [app] }),
      says: /its own volume countersign-config is used/,
      changed: true,
    },
    {
      name: 'no Envoy',
      given: pod({ containers: [app] }),
      says: /no container envoy or istio-proxy gets the socket/,
      changed: true,
    },
    {
      name: 'a port that is taken',
      given: pod({ containers: [{ ...app, ports: [{ containerPort: 9192 }] }] }),
      says: /warning: another container has port 9192/,
      changed: true,
    },
    {
      name: 'the network of the node',
      given: pod({ hostNetwork: true, containers: [app] }),
      says: /warning: with hostNetwork/,
      changed: true,
    },
    { name: 'an empty input', given: '', says: /the input is empty/, changed: false },
  ];
  for (const { name, given, says, changed } of rows) {
    it(`says so: ${name}`, () => {
      const { text, said } = inject(given);
      expect(said.join('\n')).to.match(says);
      expect(text !== given).to.equal(changed);
    });
  }

  it('answers JSON with JSON', () => {
    const { text } = inject(pod({ containers: [app] }));
    expect(JSON.parse(text).spec.initContainers[0].name).to.equal('countersign');
  });

  it('refuses what is no YAML, whole', () => {
    expect(injectSidecar('kind: Pod\n---\na: [1\n', socket, envoy)).to.have.property('error');
  });

  it('keeps as many documents as there were', () => {
    const text =
      '---\nkind: Pod\nspec: {containers: [{name: app}]}\n---\n# nothing\n---\nkind: A\n';
    const count = (one: string) => parseAllDocuments(one).length;
    expect(count(inject(text).text)).to.equal(count(text));
  });
});
