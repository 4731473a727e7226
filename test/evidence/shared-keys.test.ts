import { createServer, type Server } from 'node:http';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
principals:
  bot: { spiffe: "spiffe://prod.example/ns/payments/sa/bot" }
rules:
  - { id: pay, effect: permit, principals: [bot], methods: [POST], paths: [/pay], require: { approval: { from: change-board } } }
`;
const bot = 'spiffe://prod.example/ns/payments/sa/bot';
const header = { typ: 'nhi-approval+jwt', kid: 'board-1' };
const claims = { sub: bot, approver: 'maria', grant: { methods: ['POST'], paths: ['/pay'] } };

describe('the keys of an approval board', () => {
  let world: World;
  let server: Server;
  let address = '';
  let served: object = { keys: [] };
  before(async () => {
    server = createServer((_, response) => response.end(JSON.stringify(served)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = server.address();
    address = `http://127.0.0.1:${typeof at === 'object' ? at?.port : 0}/`;
  });
  after(async () => {
    await world.loader.close();
    world.close();
    server.closeAllConnections();
    server.close();
  });
  const ask = async () => {
    const approval = await world.board.sign(claims, header);
    const headers = { 'x-countersign-approval': approval };
    return said(await world.ask({ method: 'POST', path: '/pay', principal: bot, headers }));
  };
  const becomes = (want: string) =>
    until(async () => (await ask()) === want, `it does not become "${want}"`);

  it('approve nothing from the moment that one of them is an identity issuer’s, wherever they come from (D13)', async () => {
    const remote = patient
      .replace('{ file: keys/board.jwks.json }', `{ url: "${address}", refresh: 50ms }`)
      .replace(
        '{ trustDomains: [prod.example] }',
        '{ trustDomains: [prod.example], jwtSvid: { audiences: [edge], bundles: { prod.example: keys/bundle.json } } }',
      );
    const bundle = (keys: readonly object[]) =>
      JSON.stringify({ keys: keys.map((key) => ({ ...key, use: 'jwt-svid' })) });
    world = await createWorld(policy, {
      'countersign.yaml': remote,
      'keys/bundle.json': bundle([]),
    });
    served = world.board.jwks;
    await becomes('permit pay');
    served = { keys: [...world.board.jwks.keys, ...world.corp.jwks.keys] };
    await becomes('deny 403 approval_invalid pay');
    served = world.board.jwks;
    await becomes('permit pay');
    world.write('keys/bundle.json', bundle(world.board.jwks.keys));
    await world.loader.load();
    expect(await ask()).to.equal('deny 403 approval_invalid pay');
    world.write('keys/bundle.json', bundle([]));
    await world.loader.load();
    expect(await ask()).to.equal('permit pay');
  });

  it('and what they approved stays used over every reload', async () => {
    const approval = await world.board.sign(claims, header);
    const pay = async (id: string) => {
      const headers = { 'x-countersign-approval': approval };
      return said(await world.ask({ id, method: 'POST', path: '/pay', principal: bot, headers }));
    };
    expect(await pay('first')).to.equal('permit pay');
    for (const changed of [
      `${patient}replay: { maxEntries: 5000 }
`,
      patient.replace('deadline: 10s', 'deadline: 9s'),
    ]) {
      world.write('countersign.yaml', changed);
      world.write('keys/board.jwks.json', JSON.stringify(world.board.jwks));
      await world.loader.load();
      expect(await pay(changed)).to.equal('deny 403 approval_used pay');
    }
  });
});
