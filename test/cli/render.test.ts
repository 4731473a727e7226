import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { parseAllDocuments } from 'yaml';
import { run } from '../../src/cli/run.js';
import { createWorld, type World } from '../support/world.js';

const policy = `version: 1
policy: p
principals: { bot: { spiffe: "spiffe://prod.example/ns/payments/sa/bot" } }
rules:
  - { id: pay, effect: permit, principals: [bot], methods: [POST], paths: [/pay], when: 'envoy.metadata["a.b"].n == 1.0' }
`;

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function cli(...argv: string[]): Promise<Said> {
  let out = '';
  let err = '';
  const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
  return { code: await run(argv, io), out, err };
}

describe('render, inject and validate --istio on the command line', () => {
  let world: World;
  let empty: string;
  before(async () => {
    world = await createWorld(policy);
    empty = mkdtempSync(join(tmpdir(), 'countersign-empty-'));
    const mesh = 'extensionProviders:\n- { name: a, envoyExtAuthzGrpc: { service: s, port: 1 } }\n';
    world.write('mesh.yaml', mesh);
    world.write('pod.yaml', 'kind: Pod\nspec:\n  containers:\n    - name: app\n');
    world.write('broken-pod.yaml', 'kind: [Pod\n');
    writeFileSync(join(empty, 'countersign.yaml'), 'version: 1\npolicies: [none.yaml]\n');
    world.write('socket.yaml', 'version: 1\nlisten: unix:///run/a.sock\npolicies: [policies/]\n');
    writeFileSync(join(empty, 'p.yaml'), policy);
    world.write('outside.yaml', `version: 1\npolicies: [${empty}/p.yaml]\n`);
  });
  after(() => {
    world.close();
    rmSync(empty, { recursive: true });
  });
  const at = (name: string) => join(world.folder, name);
  const render = (...argv: string[]) => ['render', ...argv, '-c', at('countersign.yaml')];

  const rows: readonly { name: string; argv: () => string[]; code: number; says: RegExp }[] = [
    {
      name: 'no target',
      argv: () => render(),
      code: 2,
      says: /one of envoy, istio, envoyfilter, kubernetes/,
    },
    { name: 'an unknown target', argv: () => render('nginx'), code: 2, says: /one of envoy/ },
    { name: 'two targets', argv: () => render('envoy', 'istio'), code: 2, says: /one of envoy/ },
    {
      name: 'a property of all objects as target',
      argv: () => render('constructor'),
      code: 2,
      says: /one of envoy/,
    },
    {
      name: 'an option of another target',
      argv: () => render('envoy', '--waypoint', 'w'),
      code: 2,
      says: /--waypoint says nothing about envoy/,
    },
    {
      name: 'a part that is none',
      argv: () => render('envoy', '--only', 'route'),
      code: 2,
      says: /--only is one of filter/,
    },
    {
      name: 'an address that is none',
      argv: () => render('envoy', '--app', 'app'),
      code: 2,
      says: /--app is host:port/,
    },
    {
      name: 'a listener on a socket',
      argv: () => render('envoy', '--listener', 'unix:///a'),
      code: 2,
      says: /--listener is host:port/,
    },
    {
      name: 'an agent on a port',
      argv: () => render('envoy', '--sds', '127.0.0.1:1'),
      code: 2,
      says: /--sds is unix/,
    },
    {
      name: 'a provider name that Istio refuses',
      argv: () => render('istio', '--provider', 'A_b'),
      code: 2,
      says: /--provider has at most 63/,
    },
    {
      name: 'a selector that is none',
      argv: () => render('istio', '--selector', 'orders'),
      code: 2,
      says: /--selector is label=value/,
    },
    {
      name: 'a waypoint without a Service',
      argv: () => render('istio', '--waypoint', 'w'),
      code: 2,
      says: /--service host:port/,
    },
    {
      name: 'no configuration',
      argv: () => ['render', 'envoy', '-c', at('none.yaml')],
      code: 2,
      says: /there is no file/,
    },
    {
      name: 'policies that are not there',
      argv: () => ['render', 'envoy', '-c', join(empty, 'countersign.yaml')],
      code: 1,
      says: /none\.yaml/,
    },
    {
      name: 'an Envoy',
      argv: () => render('envoy'),
      code: 0,
      says: /metadata_context_namespaces:\n *- a\.b\n/,
    },
    {
      name: 'a provider that sends no metadata',
      argv: () => render('istio'),
      code: 0,
      says: /\[istio_metadata\]/,
    },
    {
      name: 'a provider for a socket',
      argv: () => ['render', 'istio', '-c', at('socket.yaml')],
      code: 1,
      says: /\[istio_socket\]/,
    },
    {
      name: 'files outside of the folder',
      argv: () => ['render', 'kubernetes', '-c', at('outside.yaml')],
      code: 2,
      says: /lies outside/,
    },
    { name: 'nothing to inject into', argv: () => ['inject'], code: 2, says: /name one manifest/ },
    {
      name: 'a manifest that is not there',
      argv: () => ['inject', at('none.yaml')],
      code: 2,
      says: /cannot be read/,
    },
    {
      name: 'a manifest that is no YAML',
      argv: () => ['inject', at('broken-pod.yaml')],
      code: 1,
      says: /broken-pod\.yaml: /,
    },
    {
      name: 'a manifest',
      argv: () => ['inject', at('pod.yaml')],
      code: 0,
      says: /Pod: the sidecar is added/,
    },
    {
      name: 'Istio files without --istio',
      argv: () => ['validate', at('mesh.yaml'), '-c', at('countersign.yaml')],
      code: 2,
      says: /is not expected here/,
    },
    {
      name: 'Istio files that are not there',
      argv: () => ['validate', '--istio', at('none.yaml'), '-c', at('countersign.yaml')],
      code: 2,
      says: /there is no file/,
    },
    {
      name: 'what Istio cannot carry, as warnings',
      argv: () => ['validate', '--istio', at('mesh.yaml'), '-c', at('countersign.yaml')],
      code: 0,
      says: /mesh\.yaml:2:\d+: warning: "a" has no timeout[\s\S]*\[istio_metadata\]/,
    },
    {
      name: 'the same, strictly',
      argv: () => ['validate', '--istio', '--strict', '-c', at('countersign.yaml')],
      code: 1,
      says: /\[istio_metadata\]/,
    },
  ];
  for (const { name, argv, code, says } of rows) {
    it(`answer ${name} with exit code ${code}`, async () => {
      const result = await cli(...argv());
      expect(`${result.out}${result.err}`).to.match(says);
      expect(result.code).to.equal(code);
    });
  }

  it('print YAML alone on stdout, without a fault', async () => {
    for (const target of ['envoy', 'istio', 'envoyfilter', 'kubernetes']) {
      const { code, out } = await cli(...render(target));
      const errors = parseAllDocuments(out).flatMap((document) => document.errors);
      expect([target, code, errors]).to.deep.equal([target, 0, []]);
    }
  });

  it('print objects and warnings as JSON', async () => {
    const { out } = await cli(...render('istio', '--only', 'objects', '--json'));
    const { documents, findings } = JSON.parse(out);
    expect(documents.map(({ kind }: { kind: string }) => kind)).to.deep.equal([
      'AuthorizationPolicy',
      'ServiceEntry',
    ]);
    expect(findings[0].code).to.equal('istio_metadata');
    const injected = JSON.parse((await cli('inject', at('pod.yaml'), '--json')).out);
    expect(injected).to.have.all.keys('text', 'said');
  });

  it('put every file that the configuration names into the ConfigMap, at its path', async () => {
    const { out } = await cli(...render('kubernetes', '--name', 'orders'));
    const [map, policies, patch] = parseAllDocuments(out).map((document) => document.toJS());
    const { volumes } = patch.spec.template.spec;
    const items = volumes[0].configMap.items as { key: string; path: string }[];
    expect(items.map(({ path }) => path).sort()).to.deep.equal([
      'countersign.yaml',
      'data/posture.yaml',
      'data/revocations.yaml',
      'keys/board.jwks.json',
      'keys/corp.jwks.json',
    ]);
    expect(items.map(({ key }) => key).sort()).to.deep.equal(Object.keys(map.data).sort());
    expect(policies.metadata.name).to.equal('countersign-policies');
    expect(policies.data).to.deep.equal({ 'p.yaml': policy });
    expect(patch.metadata.name).to.equal('orders');
  });

  it('inject by the configuration: its files, its socket, its port', async () => {
    const { out } = await cli('inject', at('pod.yaml'), '-c', at('socket.yaml'));
    expect(out).to.include('mountPath: /run\n');
    expect(out).to.include('mountPath: /etc/countersign/policies\n');
  });
});
