import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Snapshot } from '../../src/check.js';
import { warmUp } from '../../src/cli/warm-up.js';
import { createWorld, said, type World } from '../support/world.js';

const policy = `version: 1
policy: open
rules:
  - { id: all, effect: permit, principals: [anyone], paths: ["/**"] }
`;

describe('warming up', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  const snapshot = (): Snapshot => {
    const found = world.loader.snapshot;
    if (found === undefined) throw new Error('nothing is loaded');
    return found;
  };

  it('goes the way of a Check with a certificate, and asks the replay store for nothing', async () => {
    const good = snapshot();
    const ways: string[] = [];
    const watched: Snapshot = {
      ...good,
      policy: {
        ...good.policy,
        candidates: (request) => {
          ways.push('policy');
          return good.policy.candidates(request);
        },
      },
      identifier: {
        identify: (request, context) => {
          ways.push(request.peer.certificatePem === undefined ? 'identity' : 'certificate');
          return good.identifier.identify(request, context);
        },
      },
      replay: {
        ...good.replay,
        spend: () => {
          throw new Error('nothing may be spent');
        },
      },
    };
    await warmUp(watched, Date.now());
    expect(new Set(ways)).to.deep.equal(new Set(['policy', 'certificate']));
    expect(said(await world.ask({ path: '/a' }))).to.equal('permit all');
  });

  it('is not stopped by what fails', async () => {
    const broken: Snapshot = {
      ...snapshot(),
      identifier: {
        identify: () => {
          throw new Error('broken');
        },
      },
    };
    expect(await warmUp(broken, Date.now())).to.equal(undefined);
  });
});
