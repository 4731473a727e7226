import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { readInThread } from '../../src/load/threaded-reader.js';
import { config, createWorld, said, type World } from '../support/world.js';

const permit = (id: string, path: string) => `version: 1
policy: p
rules:
  - { id: ${id}, effect: permit, principals: [anyone], paths: [${path}] }
`;

/** Rules that take a while, the last of them a permit of its own name for `/a`. */
const many = (last: string, count = 800) => `version: 1
policy: p
rules:
${Array.from({ length: count }, (_, at) => `  - { id: r${at}, effect: permit, principals: [anyone], paths: ["/s${at}/{x}"], when: path.x == "${at}" }`).join('\n')}
  - { id: ${last}, effect: permit, principals: [anyone], paths: [/a] }
`;

describe('loading in a thread', () => {
  let world: World;
  beforeEach(async () => {
    const patient = { 'countersign.yaml': `deadline: 10s\n${config}` };
    world = await createWorld(permit('one', '/a'), patient, readInThread());
  });
  afterEach(async () => {
    await world.loader.close();
    world.close();
  });
  const ask = async (path = '/a') => said(await world.ask({ path }));
  const codes = () => world.loader.findings().map(({ code }) => code);

  it('takes good files, keeps the last good ones while one is broken, and says what is wrong', async () => {
    expect(await ask()).to.equal('permit one');
    world.write('policies/p.yaml', permit('two', '/a').replace('effect', 'efect'));
    await world.loader.load();
    expect(await ask()).to.equal('permit one');
    expect(codes()).to.include('unknown_key');
    world.write('policies/p.yaml', permit('two', '/a'));
    await world.loader.load();
    expect(await ask()).to.equal('permit two');
    expect(codes()).to.deep.equal([]);
  });

  it('takes every kind of data file', async () => {
    const id = 'spiffe://prod.example/a';
    const data =
      'data: { posture: data/posture.yaml, revocations: data/revocations.yaml, partners: data/partners.yaml }';
    world.write('countersign.yaml', `deadline: 10s\n${config.replace(/data: .*/, data)}`);
    world.write('data/partners.yaml', 'acme: { paths: [/a] }\n');
    world.write(
      'policies/p.yaml',
      permit('one', '/a').replace(' }\n', ', when: request.path in data.partners.acme.paths }\n'),
    );
    await world.loader.load();
    expect(said(await world.ask({ path: '/a', principal: id }))).to.equal('permit one');
    world.write('data/revocations.yaml', `version: 1\nidentities: ["${id}"]\n`);
    await world.loader.load();
    expect(said(await world.ask({ path: '/a', principal: id }))).to.equal('deny 403 revoked');
    world.write('data/revocations.yaml', 'version: 1\n');
    const posture = `version: 1\nupdatedAt: 2026-01-01\nidentities: { "${id}": { status: suspended } }\n`;
    world.write('data/posture.yaml', posture);
    await world.loader.load();
    expect(said(await world.ask({ path: '/a', principal: id }))).to.equal(
      'deny 403 posture_refused',
    );
  });

  it('decides by the old set until the new one is whole', async () => {
    world.write('policies/p.yaml', many('two'));
    const revisions = new Set<string>();
    let isLoading = true;
    const loading = world.loader.load().then(() => {
      isLoading = false;
    });
    let answers = 0;
    while (isLoading) {
      const outcome = await world.ask({ path: '/a' });
      revisions.add(`${outcome.record.revision} ${said(outcome)}`);
      answers += 1;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await loading;
    const after = await world.ask({ path: '/a' });
    expect(said(after)).to.equal('permit two');
    revisions.add(`${after.record.revision} permit two`);
    expect([...revisions].map((text) => text.split(' ').slice(1).join(' '))).to.deep.equal([
      'permit one',
      'permit two',
    ]);
    expect(answers, 'it answers meanwhile').to.be.greaterThan(2);
    expect(world.loader.snapshot?.policy.rules).to.have.length(801);
  });

  it('reads a change during a load in another load behind it', async () => {
    world.write('policies/p.yaml', many('two'));
    const first = world.loader.load();
    world.write('data/revocations.yaml', 'version: 1\nidentities: ["spiffe://prod.example/a"]\n');
    world.write('policies/p.yaml', permit('three', '/a'));
    const seen: string[] = [];
    const tell = (name: string) => () => void seen.push(name);
    const second = world.loader.load().then(tell('second'));
    const third = world.loader.load().then(tell('third'));
    await first.then(tell('first'));
    await Promise.all([second, third]);
    expect(seen).to.deep.equal(['first', 'second', 'third']);
    expect(await ask()).to.equal('permit three');
  });

  it('keeps what is in force when a file breaks during a load, and when one vanishes', async () => {
    world.write('policies/p.yaml', many('two'));
    const first = world.loader.load();
    await first;
    const second = world.loader.load();
    world.write('policies/p.yaml', 'version: 1\npolicy: p\nrules: [ { id: x } ]\n');
    await second;
    await world.loader.load();
    expect(await ask()).to.equal('permit two');
    expect(codes()).to.include('missing');
    unlinkSync(join(world.folder, 'data/posture.yaml'));
    await world.loader.load();
    expect(codes()).to.include('unreadable_file');
    expect(await ask()).to.equal('permit two');
  });

  it('comes to nothing when it is closed meanwhile, and loads again when it is asked to', async () => {
    world.write('policies/p.yaml', many('two'));
    const before = world.loader.snapshot;
    const loading = world.loader.load();
    const next = world.loader.load();
    await world.loader.close();
    await Promise.all([loading, next]);
    expect(world.loader.snapshot).to.equal(before);
    await world.loader.load();
    expect(await ask()).to.equal('permit two');
  });

  it('has no findings of a broken file twice, and forgets them with it', async () => {
    world.write('data/posture.yaml', 'version: 2\n');
    await world.loader.load();
    const broken = codes();
    await world.loader.load();
    expect(codes()).to.deep.equal(broken);
    expect(broken).to.have.length.greaterThan(0);
    world.write('data/posture.yaml', 'version: 1\nupdatedAt: 2026-01-01\n');
    await world.loader.load();
    expect(codes()).to.deep.equal([]);
  });
});
