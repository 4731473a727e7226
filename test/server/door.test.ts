import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { type Door, openDoor } from '../../src/server/door.js';

describe('the door of a unix socket', () => {
  let folder: string;
  let path: string;
  let doors: Door[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-door-'));
    path = join(folder, 'authz.sock');
    doors = [];
  });
  afterEach(() => {
    for (const door of doors) door.close();
    rmSync(folder, { recursive: true });
  });

  /** A door that tells its name to whoever comes in. */
  const open = async (name: string, takesOver: boolean, at = path) => {
    const greet = (socket: Socket) => void socket.on('error', () => {}).end(name);
    const door = await openDoor({ kind: 'unix', path: at }, { takesOver, unread: false }, greet);
    doors.push(door);
    return door;
  };
  const whoAnswers = () =>
    new Promise<string>((resolve) => {
      const socket = connect(path);
      socket.on('data', (chunk) => resolve(String(chunk)));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
    });
  const losses = (door: Door) => {
    const told: string[] = [];
    door.onLost((leadsTo) => told.push(leadsTo));
    return told;
  };

  it('is refused to a second process that does not ask to take over (row 133)', async () => {
    await open('first', false);
    const refused = await open('second', false).catch((error: Error) => error.message);
    expect(refused).to.match(/is in use by another process; --take-over/);
    expect(await whoAnswers()).to.equal('first');
    expect(readdirSync(folder)).to.deep.equal(['authz.sock']);
  });

  it('leads to one alone of several that start at once', async () => {
    const names = ['a', 'b', 'c', 'd'];
    const started = await Promise.allSettled(names.map((name) => open(name, false)));
    const good = names.filter((_, at) => started[at]?.status === 'fulfilled');
    expect(good).to.have.length(1);
    expect(await whoAnswers()).to.equal(good[0]);
    expect(readdirSync(folder)).to.deep.equal(['authz.sock']);
  });

  it('is taken over at once, with its mode, and the one before is told', async () => {
    const told = losses(await open('old', false));
    await open('new', true);
    expect(await whoAnswers()).to.equal('new');
    expect(statSync(path).mode & 0o777).to.equal(0o660);
    await until(async () => told.length > 0, 'nobody was told');
    expect(told).to.deep.equal(['another']);
  });

  it('stays with the new one when the old one ends, and goes with the new one', async () => {
    const old = await open('old', false);
    const taken = await open('new', true);
    old.close();
    expect(await whoAnswers()).to.equal('new');
    taken.close();
    expect(existsSync(path)).to.equal(false);
  });

  it('can be taken where nobody is', async () => {
    await open('new', true);
    expect(await whoAnswers()).to.equal('new');
  });

  it('tells when somebody removed the path, and removes nothing itself then', async () => {
    const told = losses(await open('old', false));
    unlinkSync(path);
    await until(async () => told.length > 0, 'nobody was told');
    expect(told).to.deep.equal(['nothing']);
    await open('next', false);
    await until(async () => told.length > 1, 'nobody was told of the next one');
    expect(told).to.deep.equal(['nothing', 'another']);
    doors[0]?.close();
    expect(await whoAnswers()).to.equal('next');
  });

  it('takes over nothing that is no socket', async () => {
    const refused = await open('new', true, folder).catch((error: Error) => error.message);
    expect(refused).to.match(/is not a socket/);
  });

  it('says when the path is too long for a socket, in place of cutting it', async () => {
    const long = join(folder, 'x'.repeat(90));
    const refused = await open('new', false, long).catch((error: Error) => error.message);
    expect(refused).to.match(/longer than the 100 bytes/);
  });
});
