import { expect } from 'chai';
import { describe, it } from 'mocha';
import { createTurnClock } from '../../src/server/turn.js';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('how long calls wait for their turn', () => {
  it('is what the calls before them in the same turn of the event loop took', async () => {
    let nowMs = 100;
    const waitedMs = createTurnClock(() => nowMs);
    expect(waitedMs()).to.equal(0);
    nowMs = 107;
    expect(waitedMs()).to.equal(7);
    await Promise.resolve();
    nowMs = 109;
    expect(waitedMs()).to.equal(9);
  });

  it('is the turn before as well where one follows the other without rest', async () => {
    let nowMs = 100;
    const waitedMs = createTurnClock(() => nowMs);
    waitedMs();
    nowMs = 109;
    await nextTurn();
    nowMs = 110;
    expect(waitedMs()).to.equal(9);
    nowMs = 112;
    expect(waitedMs()).to.equal(11);
    await nextTurn();
    expect(waitedMs(), 'and no more than that one').to.equal(2);
  });

  it('is nothing after a rest, and nothing for what else the process did', async () => {
    let nowMs = 0;
    const waitedMs = createTurnClock(() => nowMs);
    waitedMs();
    nowMs = 100;
    await nextTurn();
    nowMs = 5_000;
    expect(waitedMs()).to.equal(0);
  });
});
