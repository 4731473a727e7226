import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { approve, createCases } from '../../examples/quickstart/cases.js';
import { type Call, type Protocol, send } from '../../examples/quickstart/client.js';
import { createStage, type Stage, told } from './stage.js';

const bot = 'spiffe://prod.example/ns/payments/sa/bot';

interface Row {
  readonly name: string;
  /** Before the request: a file changes while the sidecar runs. */
  readonly before?: (stage: Stage) => Promise<void>;
  readonly call: (stage: Stage) => Promise<Call> | Call;
  readonly want: string;
}

const bearer = async (stage: Stage, claims: Record<string, unknown>) => ({
  authorization: `Bearer ${await stage.workplace.corp.sign(claims)}`,
});
const agent = { sub: 'agent-7', kind: 'agent', tenant: 'acme', customers: ['c-17'] };
const approved = (stage: Stage, methods: string, paths: string, subject = bot) => ({
  'x-countersign-approval': approve(stage.workplace, subject, methods, paths),
});
const second = () => new Promise<void>((resolve) => setTimeout(resolve, 1_000));

async function change(
  stage: Stage,
  file: string,
  from: string | RegExp,
  to: string,
): Promise<void> {
  const text = readFileSync(stage.workplace.path(file), 'utf8');
  expect(text).to.match(typeof from === 'string' ? new RegExp(from) : from);
  stage.workplace.write(file, text.replace(from, to));
  await second();
}

const finance =
  (method: string, as: string, path = '/finance/transfers') =>
  () => ({ method, path, as });
const payment =
  (method: string, path: string, as: string, headers: (stage: Stage) => Record<string, string>) =>
  (stage: Stage) => ({ method, path, as, headers: headers(stage) });
const customer = (path: string, claims: Record<string, unknown>) => async (stage: Stage) => ({
  method: 'GET',
  path,
  headers: await bearer(stage, claims),
});
const robot = (method: string, path: string, claims: object) => async (stage: Stage) => ({
  method,
  path,
  headers: await bearer(stage, { sub: 'ci-robot', ...claims }),
});
const partner =
  (method = 'POST', path = '/webhooks/orders', sub = 'partner-acme', more: object = {}) =>
  async (stage: Stage) => ({
    method,
    path,
    headers: { ...(await bearer(stage, { sub })), ...more },
  });
const delegated = { act: { sub: 'maria', role: 'release-manager' } };

const rows: readonly Row[] = [
  { name: 'a: an agent reads', call: finance('GET', 'agent'), want: 'permit finance-use' },
  {
    name: 'a: another workload writes',
    call: finance('POST', 'payments'),
    want: 'permit finance-use',
  },
  {
    name: 'a: an agent does not write',
    call: finance('POST', 'agent'),
    want: 'deny 403 denied_by_rule agents-do-not-write-finance',
  },
  {
    name: 'a: nor by another method',
    call: finance('DELETE', 'agent'),
    want: 'deny 403 denied_by_rule agents-do-not-write-finance',
  },
  {
    name: 'a: nobody without a certificate',
    call: () => ({ method: 'GET', path: '/finance/x' }),
    want: 'deny 401 credential_missing finance-use',
  },
  {
    name: 'a: an encoded spelling of the path is the same path',
    call: finance('POST', 'agent', '/%66inance/x'),
    want: 'deny 403 denied_by_rule agents-do-not-write-finance',
  },
  {
    name: 'a: a path that Envoy lets pass and that is ambiguous',
    call: finance('GET', 'payments', '/finance/a;b=c'),
    want: 'deny 400 path_ambiguous',
  },
  {
    name: 'b: reporting reads',
    call: finance('GET', 'reports', '/payments/p-1'),
    want: 'permit payments-read',
  },
  {
    name: 'b: reporting does not write',
    call: finance('POST', 'reports', '/payments/p-1'),
    want: 'deny 403 principal_not_allowed payments-write',
  },
  {
    name: 'b: writing with an approval',
    call: payment('DELETE', '/payments/p-1', 'payments', (stage) =>
      approved(stage, 'DELETE', '/payments/{id}'),
    ),
    want: 'permit payments-write',
  },
  {
    name: 'b: no approval',
    call: payment('POST', '/payments/p-1', 'payments', () => ({})),
    want: 'deny 403 approval_missing payments-write',
  },
  {
    name: 'b: an approval for another object',
    call: payment('POST', '/payments/p-1', 'payments', (stage) =>
      approved(stage, 'POST', '/payments/p-2'),
    ),
    want: 'deny 403 approval_mismatch payments-write',
  },
  {
    name: 'b: an approval for another method',
    call: payment('POST', '/payments/p-1', 'payments', (stage) =>
      approved(stage, 'DELETE', '/payments/p-1'),
    ),
    want: 'deny 403 approval_mismatch payments-write',
  },
  {
    name: 'b: an approval for another caller',
    call: payment('POST', '/payments/p-1', 'payments', (stage) =>
      approved(stage, 'POST', '/payments/p-1', 'spiffe://prod.example/ns/x/sa/y'),
    ),
    want: 'deny 403 approval_mismatch payments-write',
  },
  {
    name: 'b: what is no approval',
    call: payment('POST', '/payments/p-1', 'payments', () => ({
      'x-countersign-approval': 'a.b.c',
    })),
    want: 'deny 403 approval_invalid payments-write',
  },
  {
    name: 'c: an agent reads a customer of its tenant',
    call: customer('/tenants/acme/customers/c-17', agent),
    want: 'permit customer-context',
  },
  {
    name: 'c: another tenant',
    call: customer('/tenants/evil/customers/c-17', agent),
    want: 'deny 403 condition_false customer-context',
  },
  {
    name: 'c: another customer',
    call: customer('/tenants/acme/customers/c-99', agent),
    want: 'deny 403 condition_false customer-context',
  },
  {
    name: 'c: a token without a tenant',
    call: customer('/tenants/acme/customers/c-17', { ...agent, tenant: undefined }),
    want: 'deny 403 condition_false customer-context',
  },
  {
    name: 'c: a tenant that is a list',
    call: customer('/tenants/acme/customers/c-17', { ...agent, tenant: ['acme'] }),
    want: 'deny 403 condition_false customer-context',
  },
  {
    name: 'c: not an agent',
    call: customer('/tenants/acme/customers/c-17', { ...agent, kind: 'service' }),
    want: 'deny 403 principal_not_allowed customer-context',
  },
  {
    name: 'c: another audience',
    call: customer('/tenants/acme/customers/c-17', { ...agent, aud: 'other' }),
    want: 'deny 401 token_audience_mismatch',
  },
  {
    name: 'c: an expired token',
    call: customer('/tenants/acme/customers/c-17', {
      ...agent,
      iat: 1_700_000_000,
      exp: 1_700_000_600,
    }),
    want: 'deny 401 token_expired',
  },
  {
    name: 'd: the robot reads logs',
    call: robot('GET', '/deployments/web-7/logs', {}),
    want: 'permit logs-read',
  },
  {
    name: 'd: the delegated robot mints',
    call: robot('POST', '/secrets', delegated),
    want: 'permit mint-secret',
  },
  {
    name: 'd: without delegation',
    call: robot('POST', '/secrets', {}),
    want: 'deny 403 principal_not_allowed mint-secret',
  },
  {
    name: 'd: with the role in a nested act alone (D20)',
    call: robot('POST', '/secrets', { act: { sub: 'x', act: delegated.act } }),
    want: 'deny 403 principal_not_allowed mint-secret',
  },
  {
    name: 'd: by another method',
    call: robot('PUT', '/secrets', delegated),
    want: 'deny 403 no_rule',
  },
  { name: 'e: the partner delivers', call: partner(), want: 'permit partner-orders' },
  { name: 'e: by another method', call: partner('PUT'), want: 'deny 403 no_rule' },
  {
    name: 'e: to another endpoint',
    call: partner('POST', '/webhooks/refunds'),
    want: 'deny 403 no_rule',
  },
  {
    name: 'e: another partner',
    call: partner('POST', '/webhooks/orders', 'partner-evil'),
    want: 'deny 403 principal_not_allowed partner-orders',
  },
];

/** These change files, in this order, and are last. */
const changes: readonly Row[] = [
  {
    name: 'd: the window has closed',
    before: (stage) =>
      change(stage, 'policies/deployments.yaml', /days: \[.*?\]/, `days: [${dayFarFromNow()}]`),
    call: robot('POST', '/secrets', delegated),
    want: 'deny 403 outside_window mint-secret',
  },
  {
    name: 'd: another environment',
    before: (stage) =>
      change(stage, 'countersign.yaml', 'environment: staging', 'environment: production'),
    call: robot('GET', '/deployments/web-7/logs', {}),
    want: 'permit logs-read',
  },
  {
    name: 'e: from another network, whatever x-forwarded-for claims',
    before: (stage) => change(stage, 'policies/partners.yaml', '127.0.0.0/8', '203.0.113.0/24'),
    call: partner('POST', '/webhooks/orders', 'partner-acme', { 'x-forwarded-for': '203.0.113.7' }),
    want: 'deny 403 source_not_allowed partner-orders',
  },
  {
    name: 'e: a broken policy keeps the last good one',
    before: (stage) => change(stage, 'policies/partners.yaml', 'effect: permit', 'effect: perhaps'),
    call: partner(),
    want: 'deny 403 source_not_allowed partner-orders',
  },
  {
    name: 'e: the secret is leaked',
    before: (stage) =>
      change(stage, 'data/posture.yaml', 'secretStatus: ok', 'secretStatus: leaked'),
    call: partner(),
    want: 'deny 403 posture_refused',
  },
  {
    name: 'e: the partner is suspended',
    before: (stage) =>
      change(
        stage,
        'data/posture.yaml',
        'status: active, secretStatus: leaked',
        'status: suspended, secretStatus: ok',
      ),
    call: partner(),
    want: 'deny 403 posture_refused',
  },
  {
    name: 'e: the identity is revoked',
    before: (stage) =>
      change(
        stage,
        'data/revocations.yaml',
        /identities: \[\]/,
        'identities: ["corp:partner-acme"]',
      ),
    call: partner(),
    want: 'deny 403 revoked',
  },
];

/** A week day that is today in no time zone. */
function dayFarFromNow(): string {
  const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
  return days[(new Date().getUTCDay() + 3) % 7] ?? '';
}

(withoutEnvoy ? describe.skip : describe)('the five cases through a real Envoy', () => {
  let stage: Stage;
  before(async function () {
    this.timeout(120_000);
    stage = await createStage();
    await createCases(stage.workplace);
  });
  after(() => stage.close());

  const test = ({ name, before: prepare, call, want }: Row, protocol: Protocol) => {
    it(`${name} (${protocol})`, async () => {
      await prepare?.(stage);
      const arrived = stage.upstream.arrivals.length;
      const answer = await send(stage.workplace, await call(stage), protocol);
      expect(await told(stage, answer)).to.equal(want);
      const isThrough = stage.upstream.arrivals.length > arrived;
      expect(isThrough, 'arrived at the application').to.equal(want.startsWith('permit'));
    });
  };
  for (const protocol of ['HTTP/1.1', 'HTTP/2'] as const) {
    for (const row of rows) test(row, protocol);
  }

  it('uses an approval once (HTTP/1.1 and HTTP/2)', async () => {
    const headers = approved(stage, 'POST', '/payments/p-9');
    const call = { method: 'POST', path: '/payments/p-9', as: 'payments', headers };
    expect(await told(stage, await send(stage.workplace, call, 'HTTP/2'))).to.equal(
      'permit payments-write',
    );
    expect(await told(stage, await send(stage.workplace, call, 'HTTP/1.1'))).to.equal(
      'deny 403 approval_used payments-write',
    );
  });

  it("gives the upstream our identity headers, not the client's, and never the approval", async () => {
    const headers = {
      'x-countersign-principal': 'admin',
      'x-countersign-role': 'admin',
      ...approved(stage, 'POST', '/payments/p-8'),
    };
    const call = { method: 'POST', path: '/payments/p-8', as: 'payments', headers };
    await send(stage.workplace, call, 'HTTP/1.1');
    const arrived = stage.upstream.arrivals[stage.upstream.arrivals.length - 1]?.headers ?? {};
    expect(arrived['x-countersign-principal']).to.equal(bot);
    expect(arrived['x-countersign-rule']).to.equal('payments-write');
    expect(arrived['x-countersign-role']).to.equal(undefined);
    expect(arrived['x-countersign-approval']).to.equal(undefined);
  });

  it('refuses a certificate with two URI SANs, and one whose SPIFFE id is a DNS name', async () => {
    const uris = ['spiffe://prod.example/ns/reports/sa/nightly', 'spiffe://prod.example/ns/x/sa/y'];
    const { authority } = stage.workplace;
    for (const [name, issued] of [
      ['two', await authority.issue({ uris })],
      ['dns', await authority.issue({ dns: [uris[0] ?? ''] })],
    ] as const) {
      stage.workplace.write(`certs/${name}.pem`, issued.certificatePem);
      stage.workplace.write(`certs/${name}.key`, issued.keyPem);
      const answer = await send(
        stage.workplace,
        { method: 'GET', path: '/payments/p-1', as: name },
        'HTTP/1.1',
      );
      expect(await told(stage, answer)).to.equal('deny 401 peer_invalid');
    }
  });

  for (const row of changes) test(row, 'HTTP/1.1');

  it('says in its readiness what is broken, and stays ready', async () => {
    const response = await fetch(`http://127.0.0.1:${stage.workplace.ports.admin}/readyz`);
    expect(response.status).to.equal(200);
    expect(await response.text()).to.match(/partners\.yaml:\d+: .*perhaps/);
  });

  it('counts decisions, and names no credential in metrics or logs', async () => {
    const response = await fetch(`http://127.0.0.1:${stage.workplace.ports.admin}/metrics`);
    const text = await response.text();
    expect(text).to.match(
      /countersign_decisions_total\{effect="permit",code="permitted",rule="logs-read"\} \d+/,
    );
    const { stdout, stderr } = stage.sidecar.output();
    expect(`${text}${stdout}${stderr}`).to.not.match(
      /eyJ[A-Za-z0-9_-]{10}|BEGIN|Bearer [A-Za-z0-9]/,
    );
  });
});
