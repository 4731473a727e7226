import { type ExecFileException, execFile } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withPorts } from '../../envoy/run-envoy.js';
import { type Case, createCases } from '../../examples/quickstart/cases.js';
import { send } from '../../examples/quickstart/client.js';
import { until } from '../../examples/quickstart/sidecar.js';
import { startUpstream, type Upstream } from '../../examples/quickstart/upstream.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';

/** The images: made by the suite's set-up (`image.ts`), which has run when a test asks. */
const ownImage = () => process.env['COUNTERSIGN_IMAGE'] ?? 'COUNTERSIGN_IMAGE-is-not-set';
const envoyImage = () => process.env['COUNTERSIGN_ENVOY_IMAGE'] ?? 'no-envoy-image';
const nobody = '65532';
/** How a pod runs it: k8s/ has the same. */
const confined = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
const mebibyte = 1024 * 1024;

interface Ran {
  readonly code: number;
  readonly out: string;
}

/** Runs the Docker client; what it answers with another code is an answer. */
function docker(...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out: stdout + stderr });
    execFile('docker', [...args], { maxBuffer: 64 * mebibyte }, done);
  });
}

/** Runs a piece of JavaScript in the image, confined as the sidecar is. */
async function inside(script: string): Promise<string> {
  const node = ['--entrypoint', '/usr/local/bin/node', ownImage(), '-e', script];
  return (await docker('run', '--rm', '--network=none', ...confined, ...node)).out.trim();
}

/** A container runs as nobody in particular, and reads the workplace as that. */
function letEverybodyRead(folder: string): void {
  chmodSync(folder, 0o755);
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) letEverybodyRead(path);
    else chmodSync(path, 0o644);
  }
}

describe('the image of Countersign', function () {
  this.timeout(60_000);

  it('is small', async function () {
    const { out } = await docker('image', 'inspect', '--format', '{{.Size}}', ownImage());
    const size = Number(out) / mebibyte;
    if (this.test !== undefined) this.test.title += `: ${size.toFixed(0)} MiB`;
    expect(size).to.be.within(50, 200);
  });

  it('runs as a user that is nobody, with a root it cannot write to', async () => {
    const script = `
      const { writeFileSync } = require('node:fs');
      let refused = 'written';
      try { writeFileSync('/app/x', ''); } catch (error) { refused = error.code; }
      console.log(process.getuid(), process.getgid(), refused);`;
    expect(await inside(script)).to.equal(`${nobody} ${nobody} EROFS`);
  });

  it('could not write to its program even where the root is writable', async () => {
    const script = "require('node:fs').writeFileSync('/app/build/src/main.js', '')";
    const node = ['--entrypoint', '/usr/local/bin/node', ownImage(), '-e', script];
    const { code, out } = await docker('run', '--rm', '--network=none', ...node);
    expect([code, out]).to.satisfy(([, text]: [number, string]) => text.includes('EACCES'));
  });

  it('has no shell and no package manager', async () => {
    for (const name of ['/bin/sh', '/bin/bash', '/usr/local/bin/npm', '/usr/bin/env']) {
      const { code } = await docker('run', '--rm', '--entrypoint', name, ownImage());
      expect(code, name).to.equal(127);
    }
  });

  it('lists in its SBOM the packages that are in it, and what runs them', async () => {
    const script = `
      const { readdirSync, readFileSync, existsSync } = require('node:fs');
      const found = [];
      const look = (folder) => {
        for (const name of readdirSync(folder)) {
          const path = folder + '/' + name;
          if (name.startsWith('@')) { look(path); continue; }
          if (!existsSync(path + '/package.json')) continue;
          const { name: own, version } = JSON.parse(readFileSync(path + '/package.json', 'utf8'));
          found.push(own + '@' + version);
          if (existsSync(path + '/node_modules')) look(path + '/node_modules');
        }
      };
      look('/app/node_modules');
      const { components } = JSON.parse(readFileSync('/app/sbom.cdx.json', 'utf8'));
      const listed = components.filter(({ type }) => type !== 'platform');
      const full = ({ group, name, version }) => (group ? group + '/' : '') + name + '@' + version;
      const platform = components.filter(({ type }) => type === 'platform').map(({ name }) => name);
      console.log(JSON.stringify({ found, listed: listed.map(full), platform }));`;
    const { found, listed, platform } = JSON.parse(await inside(script));
    expect(found).to.include('pino@10.4.0').and.not.include('typescript@6.0.3');
    expect([...new Set(listed)].sort()).to.deep.equal([...new Set(found)].sort());
    expect(platform).to.deep.equal(['node', 'glibc']);
  });

  it('says its commands and its misuse by exit code', async () => {
    expect((await docker('run', '--rm', ownImage(), '--help')).code).to.equal(0);
    expect((await docker('run', '--rm', ownImage(), 'validat')).code).to.equal(2);
  });
});

for (const transport of ['a shared unix socket', 'TCP'] as const) {
  describe(`Countersign and Envoy, each in a container of its own, over ${transport}`, () => {
    const own = `countersign-test-${process.pid}-${transport.split(' ').at(-1)?.toLowerCase()}`;
    const socket = '/run/countersign/authz.sock';
    let workplace: Workplace;
    let upstream: Upstream;
    let cases: readonly Case[];

    const run = async (name: string, ...args: readonly string[]) => {
      const { folder } = workplace;
      const shared = [`--volume=${own}:/run/countersign`, `--volume=${folder}:${folder}:ro`];
      const common = ['--network=host', `--user=${nobody}:${nobody}`, ...confined, ...shared];
      const { code, out } = await docker(
        'run',
        '--detach',
        `--name=${own}-${name}`,
        ...common,
        ...args,
      );
      expect(code, out).to.equal(0);
    };
    const logs = async (name: string) => (await docker('logs', `${own}-${name}`)).out;
    const explain = async (error: unknown) => {
      throw new Error(`${error}\n${await logs('sidecar')}\n${await logs('envoy')}`);
    };
    const answers = async (port: number, path: string) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
      return response?.ok === true;
    };

    before(async function () {
      this.timeout(60_000);
      workplace = await createWorkplace();
      cases = await createCases(workplace);
      const { configFile, ports } = workplace;
      const config = readFileSync(configFile, 'utf8').replace(
        /listen: .*/,
        transport === 'TCP' ? `listen: 127.0.0.1:${ports.countersign}` : `listen: unix://${socket}`,
      );
      // A busy machine is no failure here.
      workplace.write(
        'countersign.yaml',
        `${config.replace(/^deadline: .*\n/m, '')}deadline: 5s\n`,
      );
      const countersign = transport === 'TCP' ? ports.countersign : socket;
      const { ingress, envoyAdmin: admin, app } = ports;
      workplace.write(
        'envoy.yaml',
        withPorts('quickstart.yaml', { ingress, admin, app, countersign }).replaceAll(
          '0.25s',
          '5s',
        ),
      );
      letEverybodyRead(workplace.folder);
      upstream = await startUpstream(app);
      await run('sidecar', ownImage(), 'serve', '-c', configFile, '--drain-ms', '100');
      await until(() => answers(ports.admin, '/readyz'), 'Countersign is not ready').catch(explain);
      const flags = ['-c', workplace.path('envoy.yaml'), '--concurrency', '1'];
      const inFolder = `--workdir=${workplace.folder}`;
      await run('envoy', inFolder, envoyImage(), ...flags, '--use-dynamic-base-id');
      await until(() => answers(admin, '/ready'), 'Envoy is not ready').catch(explain);
    });
    after(async function () {
      this.timeout(30_000);
      await docker('rm', '--force', `${own}-sidecar`, `${own}-envoy`);
      await docker('volume', 'rm', '--force', own);
      await upstream.stop();
      workplace.remove();
    });

    it('has no capability, no way to get one, and a filter of system calls', async () => {
      const { out } = await docker('inspect', '--format', '{{.State.Pid}}', `${own}-sidecar`);
      const status = readFileSync(`/proc/${out.trim()}/status`, 'utf8');
      const value = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1];
      expect(value('Uid')).to.equal(Array(4).fill(nobody).join('\t'));
      expect(['CapPrm', 'CapEff', 'CapBnd'].map(value)).to.deep.equal(
        Array(3).fill('0'.repeat(16)),
      );
      expect([value('NoNewPrivs'), value('Seccomp')]).to.deep.equal(['1', '2']);
    });

    it('decides the five cases as the quick start does', async function () {
      this.timeout(60_000);
      const steps = cases.flatMap((one) => one.steps);
      const got: string[] = [];
      for (const { call, before: prepare } of steps) {
        await prepare?.();
        const { status } = await send(workplace, call, 'HTTP/1.1');
        got.push(`${call.method} ${call.path} ${status}`);
      }
      expect(got).to.deep.equal(
        steps.map(({ call, want }) => `${call.method} ${call.path} ${want.status}`),
      );
      const log = await logs('sidecar');
      for (const { want } of steps) expect(log).to.include(`"code":"${want.code}"`);
      expect(log).to.not.match(/eyJ[A-Za-z0-9_-]{10}|BEGIN/);
    });

    it('ends in order, with code 0, when it is told to', async () => {
      await docker('stop', '--time', '8', `${own}-sidecar`);
      const { out } = await docker('inspect', '--format', '{{.State.ExitCode}}', `${own}-sidecar`);
      expect(out.trim()).to.equal('0');
      expect(await logs('sidecar')).to.include('"msg":"stopped"');
    });
  });
}
