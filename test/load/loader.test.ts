import { mkdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { type Watcher, watchFiles } from '../../src/config/watch.js';
import { config, createWorld, said, type World } from '../support/world.js';

const permit = (id: string, path: string) => `version: 1
policy: p
rules:
  - { id: ${id}, effect: permit, principals: [anyone], paths: [${path}] }
`;

describe('loading again', () => {
  let world: World;
  beforeEach(async () => {
    world = await createWorld(permit('one', '/a'));
  });
  afterEach(() => world.close());
  const ask = async (path: string) => said(await world.ask({ path }));

  it('gives the same revision for the same files, and another for others', async () => {
    const before = world.loader.snapshot?.policy.revision;
    await world.loader.load();
    expect(world.loader.snapshot?.policy.revision).to.equal(before);
    world.write('policies/p.yaml', permit('two', '/a'));
    await world.loader.load();
    expect(world.loader.snapshot?.policy.revision).to.not.equal(before);
  });

  it('keeps the last good policy while a file is broken, and takes the next good one', async () => {
    world.write('policies/p.yaml', 'version: 1\npolicy: p\nrules: [ { id: x } ]\n');
    await world.loader.load();
    expect(await ask('/a')).to.equal('permit one');
    expect(world.loader.findings()).to.have.length.greaterThan(0);
    world.write('policies/p.yaml', permit('two', '/b'));
    await world.loader.load();
    expect(await ask('/a')).to.equal('deny 403 no_rule');
    expect(await ask('/b')).to.equal('permit two');
    expect(world.loader.findings()).to.deep.equal([]);
  });

  it('takes a file away with its rules, and a named folder that vanishes as broken', async () => {
    world.write('policies/q.yml', permit('more', '/b').replace('policy: p', 'policy: q'));
    await world.loader.load();
    expect(await ask('/b')).to.equal('permit more');
    unlinkSync(join(world.folder, 'policies/q.yml'));
    await world.loader.load();
    expect(await ask('/b')).to.equal('deny 403 no_rule');
    rmSync(join(world.folder, 'policies'), { recursive: true });
    await world.loader.load();
    expect(await ask('/a')).to.equal('permit one');
    expect(world.loader.findings().map(({ code }) => code)).to.deep.equal(['unreadable_file']);
  });

  it('takes a good data file although a policy is broken', async () => {
    world.write('policies/p.yaml', 'nonsense');
    world.write('data/revocations.yaml', 'version: 1\nidentities: ["spiffe://prod.example/a"]\n');
    await world.loader.load();
    const revoked = await world.ask({ path: '/a', principal: 'spiffe://prod.example/a' });
    expect(said(revoked)).to.equal('deny 403 revoked');
  });

  it('keeps the last good data and keys while their files are broken', async () => {
    world.write('data/revocations.yaml', 'version: 1\nidentities: ["spiffe://prod.example/a"]\n');
    await world.loader.load();
    world.write('data/revocations.yaml', 'version: 1\nidentites: []\n');
    await world.loader.load();
    const revoked = await world.ask({ path: '/a', principal: 'spiffe://prod.example/a' });
    expect(said(revoked)).to.equal('deny 403 revoked');
  });

  it('lets no key of an identity issuer approve anything (D13)', async () => {
    world.write('keys/board.jwks.json', JSON.stringify(world.corp.jwks));
    await world.loader.load();
    expect(world.loader.findings().map(({ code }) => code)).to.deep.equal(['shared_key']);
    world.write('keys/board.jwks.json', JSON.stringify(world.board.jwks));
    await world.loader.load();
    expect(world.loader.findings()).to.deep.equal([]);
  });

  it('keeps the last good configuration, and takes the next', async () => {
    world.write('countersign.yaml', config.replace('version: 1', 'version: 2'));
    await world.loader.load();
    expect(await ask('/a')).to.equal('permit one');
    world.write('countersign.yaml', config.replace('policies/', 'other/'));
    world.write('other/p.yaml', permit('other', '/c'));
    await world.loader.load();
    expect(await ask('/c')).to.equal('permit other');
  });
});

describe('watching files', () => {
  let world: World;
  let watcher: Watcher;
  let changes = 0;
  beforeEach(async () => {
    world = await createWorld(permit('one', '/a'));
    changes = 0;
  });
  afterEach(() => {
    watcher.close();
    world.close();
  });
  const sees = async (
    change: () => void,
    paths: () => readonly string[] = () => world.loader.paths(),
  ) => {
    watcher = watchFiles(paths, () => {
      changes += 1;
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(changes).to.equal(0);
    const at = Date.now();
    change();
    await until(async () => changes > 0, 'no change was seen');
    return Date.now() - at;
  };

  it('sees a write in place', async () => {
    await sees(() => world.write('policies/p.yaml', permit('two', '/a')));
  });
  it('sees a new file in a folder', async () => {
    await sees(() => world.write('policies/sub/q.yaml', permit('two', '/b')));
  });
  it('sees a file replaced by a rename', async () => {
    await sees(() => {
      world.write('new.yaml', permit('two', '/a'));
      renameSync(join(world.folder, 'new.yaml'), join(world.folder, 'policies/p.yaml'));
    });
  });
  it('sees a file vanish', async () => {
    await sees(() => unlinkSync(join(world.folder, 'data/posture.yaml')));
  });

  it("sees Kubernetes' swap of the ..data link, and the loader reads through it", async () => {
    const mount = join(world.folder, 'mount');
    const version = (name: string, id: string) => {
      mkdirSync(join(mount, name), { recursive: true });
      writeFileSync(join(mount, name, 'p.yaml'), permit(id, '/k'));
    };
    version('..2026_1', 'first');
    symlinkSync('..2026_1', join(mount, '..data'));
    symlinkSync('..data/p.yaml', join(mount, 'p.yaml'));
    world.write('countersign.yaml', config.replace('policies/', 'mount/'));
    await world.loader.load();
    expect(said(await world.ask({ path: '/k' }))).to.equal('permit first');
    await sees(() => {
      version('..2026_2', 'second');
      symlinkSync('..2026_2', join(mount, '..data_tmp'));
      renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
    });
    await world.loader.load();
    expect(said(await world.ask({ path: '/k' }))).to.equal('permit second');
  });
});
