import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { root } from '../../envoy/find-envoy.js';
import { createCases } from '../../examples/quickstart/cases.js';
import { checkRequestOf } from '../../examples/quickstart/direct.js';
import { type Sidecar, startSidecar, until } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';
import { checkPath } from '../../src/server/listener.js';
import { encodeCheckRequest } from '../../src/wire/external-auth.js';
import { outcomeOf } from '../support/revisions.js';

describe('a sidecar on a unix socket', () => {
  let workplace: Workplace;
  let path: string;
  let running: Sidecar;
  let clients: Client[];
  beforeEach(async function () {
    this.timeout(60_000);
    workplace = await createWorkplace();
    await createCases(workplace);
    path = workplace.path('authz.sock');
    const text = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', text.replace(/listen: .*/, `listen: unix://${path}`));
    running = await startSidecar(workplace.configFile, workplace.ports.admin);
    clients = [];
  });
  afterEach(async () => {
    for (const client of clients) client.close();
    await running.stop('SIGKILL');
    workplace.remove();
  });

  /** `serve` once more with the same configuration; what it said and its exit code. */
  const serveAgain = (...args: readonly string[]) =>
    new Promise<{ code: number | null; said: string }>((resolve) => {
      const main = join(root, 'build', 'src', 'main.js');
      const child = spawn(process.execPath, [main, 'serve', '-c', workplace.configFile, ...args], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.on('data', (chunk) => {
        said += String(chunk);
      });
      child.once('close', (code) => resolve({ code, said }));
    });
  /** Asks on a connection of its own; `client` where it is to be used again. */
  const connect = () => {
    const client = new Client(`unix:${path}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    clients.push(client);
    return client;
  };
  const ask = (client = connect()) =>
    new Promise<string>((resolve, reject) => {
      const call = { method: 'GET', path: '/finance/x', as: 'agent' };
      client.makeUnaryRequest(
        checkPath,
        (value: Uint8Array) => Buffer.from(value),
        (value: Buffer): Uint8Array => value,
        encodeCheckRequest(checkRequestOf(workplace, call, '1')),
        (error, answer) => (answer === undefined ? reject(error) : resolve(outcomeOf(answer))),
      );
    });

  it('goes on when another one is started by accident, which ends with code 1', async function () {
    this.timeout(60_000);
    const { code, said } = await serveAgain();
    expect(code).to.equal(1);
    expect(said).to.match(/in use by another process; --take-over takes it over/);
    expect(await ask()).to.equal('permit finance-use');
  });

  it('goes on when the one that is to take over has no good policy', async function () {
    this.timeout(60_000);
    const good = readFileSync(workplace.path('policies/finance.yaml'), 'utf8');
    workplace.write('policies/finance.yaml', 'version: 1\npolicy: finance\nrules: [{ id: x }]\n');
    const { code, said } = await serveAgain('--take-over');
    workplace.write('policies/finance.yaml', good);
    expect(code).to.equal(1);
    expect(said).to.match(/finance\.yaml:3/);
    expect(await ask()).to.equal('permit finance-use');
    expect(running.process.exitCode).to.equal(null);
  });

  it('ends with code 0 when it is taken over, and leaves path and admin port to the other', async function () {
    this.timeout(60_000);
    const kept = connect();
    expect(await ask(kept)).to.equal('permit finance-use');
    const old = running;
    const ended = new Promise((resolve) => old.process.once('close', resolve));
    running = await startSidecar(workplace.configFile, workplace.ports.admin, [
      '--take-over',
      '--drain-ms',
      '100',
    ]);
    expect(await ended).to.equal(0);
    expect(await ask(kept), 'on the connection that was told GOAWAY').to.equal(
      'permit finance-use',
    );
    expect(await ask()).to.equal('permit finance-use');
    const isReady = () =>
      fetch(`http://127.0.0.1:${workplace.ports.admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    await until(isReady, 'the admin port is not there');
    expect(await running.stop('SIGTERM')).to.equal(0);
    expect(existsSync(path)).to.equal(false);
  });

  it('is taken over on a unix socket alone: misuse on TCP', async function () {
    this.timeout(60_000);
    const text = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', text.replace(/listen: .*/, 'listen: 127.0.0.1:1'));
    const { code, said } = await serveAgain('--take-over');
    expect(code).to.equal(2);
    expect(said).to.match(/is for a unix socket/);
  });
});
