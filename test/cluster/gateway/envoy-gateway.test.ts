import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { stringify } from 'yaml';
import { findEnvoy } from '../../../envoy/find-envoy.js';
import { type RunningEnvoy, runEnvoy } from '../../../envoy/run-envoy.js';
import { createIssuer, type Issuer } from '../../../examples/quickstart/issuer.js';
import { type Sidecar, startSidecar } from '../../../examples/quickstart/sidecar.js';
import { startUpstream, type Upstream } from '../../../examples/quickstart/upstream.js';
import { reserve } from '../../../examples/quickstart/workplace.js';
import { cluster } from '../cluster.js';
import { runTool } from '../kubectl.js';
import { eventually } from '../program.js';
import { toolPath } from '../tools.js';
import { type ConfigDump, fromFiles } from './xds.js';

const example = 'examples/envoy-gateway';
const serviceAddress = '10.96.7.7';

/** What Envoy Gateway would push for the example, whose Service has an address as in a cluster. */
async function translate(folder: string): Promise<{ dump: ConfigDump; text: string }> {
  const file = join(folder, 'gateway.yaml');
  const text = readFileSync(join(example, 'gateway.yaml'), 'utf8');
  writeFileSync(file, text.replace('selector: { app: orders }', `clusterIP: ${serviceAddress}`));
  const args = [
    'x',
    'translate',
    '--from',
    'gateway-api',
    '--to',
    'xds',
    '-t',
    'all',
    '-o',
    'json',
  ];
  const { code, stdout, stderr } = await runTool(toolPath('egctl'), [...args, '-f', file]);
  if (code !== 0) throw new Error(`egctl: ${stderr}`);
  const translated: { xds: Record<string, ConfigDump> } = JSON.parse(stdout);
  const [dump] = Object.values(translated.xds);
  if (dump === undefined) throw new Error(`egctl translated nothing: ${stdout.slice(0, 2000)}`);
  return { dump, text: stdout };
}

describe('the example for Envoy Gateway, translated by egctl and run by a real Envoy', () => {
  let folder: string;
  let issuer: Issuer;
  let sidecar: Sidecar;
  let upstream: Upstream;
  let envoy: RunningEnvoy;
  let translated: string;
  let ingress = 0;

  before(async function () {
    this.timeout(120_000);
    folder = mkdtempSync(join(cluster().folder, 'gateway-'));
    const [listen = 0, admin = 0, app = 0, sidecarAdmin = 0] = await reserve(4);
    ingress = listen;
    const socket = join(folder, 'authz.sock');
    issuer = await createIssuer('https://idp.example', 'corp-1');
    cpSync(join(example, 'policies'), join(folder, 'policies'), { recursive: true });
    writeFileSync(join(folder, 'corp.jwks.json'), JSON.stringify(issuer.jwks));
    const config = readFileSync(join(example, 'countersign.yaml'), 'utf8')
      .replace('/run/countersign/authz.sock', socket)
      .replace('0.0.0.0:9192', `127.0.0.1:${sidecarAdmin}\ndeadline: 800ms`);
    writeFileSync(join(folder, 'countersign.yaml'), config);
    const { dump, text } = await translate(folder);
    translated = text;
    const bootstrap = fromFiles(
      folder,
      dump,
      'default/edge/http',
      [
        ['/run/countersign/authz.sock', socket],
        // Envoy cannot open its stdout by name where that is a pipe of this process.
        ['/dev/stdout', join(folder, 'access.log')],
        ['"address":"0.0.0.0","portValue":8080', `"address":"127.0.0.1","portValue":${ingress}`],
        [
          `"address":"${serviceAddress}","portValue":80`,
          `"address":"127.0.0.1","portValue":${app}`,
        ],
      ],
      admin,
    );
    upstream = await startUpstream(app);
    sidecar = await startSidecar(join(folder, 'countersign.yaml'), sidecarAdmin);
    const found = await findEnvoy(() => {});
    if (found.kind !== 'binary') throw new Error(`this suite needs Envoy's binary: ${found.kind}`);
    envoy = await runEnvoy(found, folder, stringify(bootstrap), admin);
    // Envoy is live before it has read its listeners.
    await eventually(
      async () => ((await ask('/').catch(() => '')) === '' ? undefined : true),
      () => `Envoy does not listen: ${envoy.output().slice(-2000)}`,
    );
  });
  after(async () => {
    await envoy?.stop();
    await sidecar?.stop('SIGKILL');
    await upstream?.stop();
  });

  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`http://127.0.0.1:${ingress}${path}`, { headers });
    const text = await response.text();
    return `${response.status} ${/"code":"([a-z_]+)"/.exec(text)?.[1] ?? ''}`.trim();
  };
  const bearer = async () => ({
    authorization: `Bearer ${await issuer.sign({ sub: 'order-robot', aud: 'orders' })}`,
  });

  it('names the socket, fails closed and waits a second', () => {
    expect(translated).to.include('/run/countersign/authz.sock');
    expect(translated).to.not.match(/"failureModeAllow": *true/);
    expect(translated).to.match(/"timeout": *"1s"/);
    expect(translated).to.match(/"statusOnError": *\{\s*"code": *"ServiceUnavailable"/);
  });

  it('has requests decided by Countersign', async () => {
    expect(await ask('/orders/7', await bearer())).to.equal('200');
    expect(await ask('/orders/7')).to.equal('401 credential_missing');
    expect(await ask('/other', await bearer())).to.equal('403 no_rule');
    expect(upstream.arrivals.map(({ path }) => path)).to.deep.equal(['/orders/7']);
  });

  it('refuses every request while the sidecar is away', async () => {
    const arrived = upstream.arrivals.length;
    await sidecar.stop('SIGKILL');
    expect(await ask('/orders/7', await bearer())).to.equal('503');
    expect(upstream.arrivals.length).to.equal(arrived);
  });
});
