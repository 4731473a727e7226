import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { until } from '../../examples/quickstart/sidecar.js';
import { createStage, type Stage } from './stage.js';

const policy = (port: number) => `version: 1
policy: connections
principals:
  payments: { spiffe: "spiffe://prod.example/ns/payments/sa/*" }
  reports: { spiffe: "spiffe://prod.example/ns/reports/sa/*" }
rules:
  - { id: database, effect: permit, principals: [payments], tcp: { ports: [${port}], sni: [db.prod.example] } }
  - { id: replicas, effect: permit, principals: [payments, reports], tcp: { ports: [${port}], sni: ["*.replica.example"] } }
  - { id: not-that-one, effect: deny, principals: [reports], tcp: { sni: [two.replica.example] } }
  - { id: elsewhere, effect: permit, principals: [payments], tcp: { ports: [1], sni: [elsewhere.example] } }
  - { id: requests, effect: permit, principals: [anyone], paths: ["/**"] } # countersign-allow broad_grant: a rule for requests permits no connection
`;

interface Row {
  readonly name: string;
  readonly as: string;
  readonly sni: string;
  /** Effect, code and rule as logged. */
  readonly want: string;
}

const rows: readonly Row[] = [
  {
    name: 'a peer, a name and a port of one rule',
    as: 'payments',
    sni: 'db.prod.example',
    want: 'permit permitted database',
  },
  {
    name: 'the name in another case',
    as: 'payments',
    sni: 'DB.prod.example',
    want: 'permit permitted database',
  },
  {
    name: 'another peer',
    as: 'reports',
    sni: 'db.prod.example',
    want: 'deny principal_not_allowed database',
  },
  { name: 'another name', as: 'payments', sni: 'x.prod.example', want: 'deny no_rule ' },
  { name: 'another port', as: 'payments', sni: 'elsewhere.example', want: 'deny no_rule ' },
  { name: 'no name', as: 'payments', sni: '', want: 'deny no_rule ' },
  {
    name: 'a name below the wildcard',
    as: 'reports',
    sni: 'one.replica.example',
    want: 'permit permitted replicas',
  },
  {
    name: 'a name that a deny rule has',
    as: 'reports',
    sni: 'two.replica.example',
    want: 'deny denied_by_rule not-that-one',
  },
];

(withoutEnvoy ? describe.skip : describe)('connections through a real Envoy', function () {
  this.timeout(60_000);
  let stage: Stage;
  before(async () => {
    stage = await createStage({
      file: 'connections.yaml',
      prepare: async (workplace) => {
        workplace.write('policies/connections.yaml', policy(workplace.ports.ingress));
        await workplace.addCaller('payments', 'spiffe://prod.example/ns/payments/sa/bot');
        await workplace.addCaller('reports', 'spiffe://prod.example/ns/reports/sa/nightly');
      },
    });
  });
  after(() => stage?.close());

  /** What came back over the connection: the answer's status line, or nothing when it was closed. */
  function open({ as, sni }: Row): Promise<string> {
    const read = (path: string) => readFileSync(stage.workplace.path(path));
    return new Promise((resolve) => {
      let text = '';
      const socket = connect({
        host: '127.0.0.1',
        port: stage.workplace.ports.ingress,
        servername: sni,
        ca: read('certs/ca.pem'),
        cert: read(`certs/${as}.pem`),
        key: read(`certs/${as}.key`),
        checkServerIdentity: () => undefined,
      });
      socket.once('secureConnect', () =>
        socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'),
      );
      socket.on('data', (chunk) => {
        text += String(chunk);
      });
      socket.once('error', () => {});
      socket.once('close', () => resolve(text.split('\r\n')[0] ?? ''));
    });
  }

  const logged = () =>
    stage.sidecar
      .output()
      .stdout.split('\n')
      .filter((line) => line.endsWith('}'))
      .map((line) => JSON.parse(line));

  for (const row of rows) {
    it(`${row.name}: ${row.want}`, async () => {
      const before = logged().length;
      const answer = await open(row);
      await until(async () => logged().length > before, 'the decision is not logged');
      const { effect, code, rule = '' } = logged()[before];
      expect(`${effect} ${code} ${rule}`).to.equal(row.want);
      expect(answer).to.equal(row.want.startsWith('permit') ? 'HTTP/1.1 200 OK' : '');
    });
  }
});
