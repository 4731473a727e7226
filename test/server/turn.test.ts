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
    await nextTurn();
    expect(waitedMs()).to.equal(0);
  });

  it('is nothing after the process was busy with something else', async () => {
    let nowMs = 0;
    const waitedMs = createTurnClock(() => nowMs);
    waitedMs();
    await nextTurn();
    nowMs = 5_000;
    expect(waitedMs()).to.equal(0);
  });
});
