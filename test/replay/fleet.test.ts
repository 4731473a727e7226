import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, it } from 'mocha';
import type { Call } from '../../examples/quickstart/client.js';
import { checkRequestOf, connectDirectly } from '../../examples/quickstart/direct.js';
import { type Sidecar, startSidecar, until } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, reserve, type Workplace } from '../../examples/quickstart/workplace.js';
import { encodeCheckRequest } from '../../src/wire/external-auth.js';
import { decodeCheckResponse } from '../../src/wire/received-response.js';
import { describeRedis, killRedis, startRedis } from '../support/redis.js';

const fleet = 4;

describeRedis('a fleet of four sidecars with one store', () => {
  let workplace: Workplace;
  let redis: ChildProcess;
  let redisPort = 0;
  const sidecars: Sidecar[] = [];
  const clients: ReturnType<typeof connectDirectly>[] = [];

  before(async function () {
    this.timeout(60_000);
    workplace = await createWorkplace();
    await workplace.addCaller('payments', 'spiffe://prod.example/ns/payments/sa/bot');
    await workplace.addCaller('reports', 'spiffe://prod.example/ns/reports/sa/nightly');
    workplace.write(
      'policies/once.yaml',
      `version: 1
policy: once
principals: { robot: { jwt: { issuer: once, subject: robot } } }
rules: [{ id: once, effect: permit, principals: [robot], methods: [GET], paths: [/once] }]
`,
    );
    const [first = 0, ...ports] = await reserve(1 + 2 * fleet);
    redisPort = first;
    redis = startRedis(redisPort);
    const config = readFileSync(workplace.configFile, 'utf8')
      .replace(/^deadline: .*\n/m, '')
      .replace(
        '  approvals:\n',
        '    - { name: once, issuer: "https://once.example", audiences: [edge], algorithms: [ES256], jwks: { file: keys/corp.jwks.json }, singleUse: true }\n  approvals:\n',
      )
      // What is proven is who wins, not how quickly a busy machine answers.
      .concat(`deadline: 10s\nreplay: { store: valkey, url: "redis://127.0.0.1:${redisPort}" }\n`);
    const starting = Array.from({ length: fleet }, async (_, index) => {
      const [countersign = 0, admin = 0] = ports.slice(2 * index);
      const name = `sidecar-${index}.yaml`;
      workplace.write(
        name,
        config
          .replace(/listen: .*/, `listen: 127.0.0.1:${countersign}`)
          .replace(/admin: .*/, `admin: 127.0.0.1:${admin}`),
      );
      sidecars[index] = await startSidecar(workplace.path(name), admin);
      const place = { ...workplace, ports: { ...workplace.ports, countersign } };
      clients[index] = connectDirectly(place);
    });
    await Promise.all(starting);
  });
  after(async () => {
    for (const client of clients) client.close();
    await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
    await killRedis(redis);
    workplace.remove();
  });

  let sent = 0;
  const bytesOf = (call: Call) => {
    sent += 1;
    return encodeCheckRequest(checkRequestOf(workplace, call, `request-${sent}`));
  };
  /** `permit`, or the code of the deny. */
  const ask = async (sidecar: number, bytes: Uint8Array): Promise<string> => {
    const answer = await clients[sidecar % fleet]?.check(bytes);
    const decoded = decodeCheckResponse(answer ?? new Uint8Array());
    if (!decoded.ok) throw new Error(decoded.reason);
    const { status, ok, denied } = decoded.value;
    return status === 0 && ok !== undefined ? 'permit' : JSON.parse(denied?.body ?? '{}').code;
  };
  const approval = () =>
    workplace.approvals.sign(
      {
        sub: 'spiffe://prod.example/ns/payments/sa/bot',
        approver: 'maria',
        grant: { methods: ['POST'], paths: ['/payments/{id}'] },
      },
      { typ: 'nhi-approval+jwt' },
    );
  const pay = async (): Promise<Call> => ({
    method: 'POST',
    path: '/payments/p-42',
    as: 'payments',
    headers: { 'x-countersign-approval': await approval() },
  });
  const useOnce = async (): Promise<Call> => ({
    method: 'GET',
    path: '/once',
    headers: {
      authorization: `Bearer ${await workplace.corp.sign({ sub: 'robot', iss: 'https://once.example' })}`,
    },
  });

  const credentials = [
    { name: 'one approval', call: pay, used: 'approval_used' },
    { name: 'one token for single use', call: useOnce, used: 'token_replayed' },
  ];
  for (const { name, call, used } of credentials) {
    it(`permits exactly one of twenty parallel uses of ${name}, and that one again when Envoy delivers it twice`, async () => {
      for (let round = 0; round < 5; round += 1) {
        const given = await call();
        const requests = Array.from({ length: 20 }, () => bytesOf(given));
        const answers = await Promise.all(requests.map((bytes, at) => ask(at, bytes)));
        expect([...answers].sort()).to.deep.equal([...Array(19).fill(used), 'permit'].sort());
        const winner = answers.indexOf('permit');
        const again = requests[winner] ?? new Uint8Array();
        expect(await ask(winner + 1, again), 'the same Check on another sidecar').to.equal(
          'permit',
        );
        expect(await ask(winner, bytesOf(given))).to.equal(used);
      }
    });
  }

  it('denies with store_unavailable while the store is away, goes on with all other rules, and comes back', async () => {
    const read: Call = { method: 'GET', path: '/payments/p-42', as: 'reports' };
    const everywhere = (call: Call) =>
      Promise.all(clients.map((_, sidecar) => ask(sidecar, bytesOf(call))));
    const all = (word: string) => Array(fleet).fill(word);
    await killRedis(redis);
    expect(await everywhere(await pay())).to.deep.equal(all('store_unavailable'));
    expect(await everywhere(await useOnce())).to.deep.equal(all('store_unavailable'));
    expect(await everywhere(read)).to.deep.equal(all('permit'));
    redis = startRedis(redisPort);
    for (const [sidecar] of clients.entries()) {
      await until(
        async () => (await ask(sidecar, bytesOf(await pay()))) === 'permit',
        'it stays away',
      );
    }
  }).timeout(60_000);
});
