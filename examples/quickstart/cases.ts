import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../envoy/find-envoy.js';
import type { Call } from './client.js';
import type { Workplace } from './workplace.js';

/** One request of a case, what must come of it, and why. */
export interface Step {
  readonly call: Call;
  readonly want: { readonly status: number; readonly code: string; readonly rule: string };
  readonly why: string;
  /** Done before the request: a file changes while the sidecar runs. */
  readonly before?: () => Promise<void>;
}

export interface Case {
  readonly letter: string;
  readonly title: string;
  readonly steps: readonly Step[];
}

const permitted = (rule: string) => ({ status: 200, code: 'permitted', rule });
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** The callers of the five cases: certificates and tokens, made new each time. */
async function createCallers(workplace: Workplace) {
  await workplace.addCaller('agent', 'spiffe://prod.example/ns/agents/sa/planner');
  await workplace.addCaller('reports', 'spiffe://prod.example/ns/reports/sa/nightly');
  await workplace.addCaller('payments', 'spiffe://prod.example/ns/payments/sa/bot');
  const { corp } = workplace;
  const tokens = {
    support: await corp.sign({
      sub: 'agent-7',
      kind: 'agent',
      tenant: 'acme',
      customers: ['c-17', 'c-18'],
    }),
    robot: await corp.sign({ sub: 'ci-robot' }),
    release: await corp.sign({
      sub: 'ci-robot',
      act: { sub: 'maria', role: 'release-manager' },
    }),
    partner: await corp.sign({ sub: 'partner-acme' }),
  };
  for (const [name, token] of Object.entries(tokens)) workplace.write(`tokens/${name}.jwt`, token);
  return tokens;
}

/** Signs an approval with `countersign approve`, as an approver would. */
export function approve(
  workplace: Workplace,
  subject: string,
  methods: string,
  paths: string,
): string {
  const main = join(root, 'build', 'src', 'main.js');
  const key = workplace.path('keys/approvals.key.pem');
  return execFileSync(process.execPath, [
    ...[main, 'approve', '-c', workplace.configFile, '--key', key, '--kid', 'board-1'],
    ...['--subject', subject, '--methods', methods, '--paths', paths],
    ...['--for', '15m', '--approver', 'maria@prod.example'],
  ])
    .toString()
    .trim();
}

/** The five cases of the product, each with what is permitted and what is denied, and why. */
export async function createCases(workplace: Workplace): Promise<readonly Case[]> {
  const tokens = await createCallers(workplace);
  const approval = approve(
    workplace,
    'spiffe://prod.example/ns/payments/sa/bot',
    'POST',
    '/payments/p-42',
  );
  workplace.write('tokens/approval.jwt', approval);
  return [
    {
      letter: 'a',
      title: 'May an agent write on a finance endpoint?',
      steps: [
        {
          call: { method: 'GET', path: '/finance/reports/q3', as: 'agent' },
          want: permitted('finance-use'),
          why: 'every workload of the trust domain may read',
        },
        {
          call: { method: 'POST', path: '/finance/transfers', as: 'agent' },
          want: { status: 403, code: 'denied_by_rule', rule: 'agents-do-not-write-finance' },
          why: 'a permit matches as well, and a deny rule beats it',
        },
      ],
    },
    {
      letter: 'b',
      title: 'Payments: reading is free, writing needs an approval',
      steps: [
        {
          call: { method: 'GET', path: '/payments/p-42', as: 'reports' },
          want: permitted('payments-read'),
          why: 'reporting may read',
        },
        {
          call: { method: 'POST', path: '/payments/p-42', as: 'payments' },
          want: { status: 403, code: 'approval_missing', rule: 'payments-write' },
          why: 'the caller is right, and nobody approved it',
        },
        {
          call: {
            method: 'POST',
            path: '/payments/p-42',
            as: 'payments',
            headers: { 'x-countersign-approval': approval },
          },
          want: permitted('payments-write'),
          why: 'the approval is for this caller, method and payment',
        },
        {
          call: {
            method: 'POST',
            path: '/payments/p-42',
            as: 'payments',
            headers: { 'x-countersign-approval': approval },
          },
          want: { status: 403, code: 'approval_used', rule: 'payments-write' },
          why: 'an approval is good for one request',
        },
      ],
    },
    {
      letter: 'c',
      title: 'An AI agent reads customer context',
      steps: [
        {
          call: {
            method: 'GET',
            path: '/tenants/acme/customers/c-17',
            headers: bearer(tokens.support),
          },
          want: permitted('customer-context'),
          why: 'its token names this tenant and this customer',
        },
        {
          call: {
            method: 'GET',
            path: '/tenants/evil/customers/c-17',
            headers: bearer(tokens.support),
          },
          want: { status: 403, code: 'condition_false', rule: 'customer-context' },
          why: 'the tenant in the path is not the tenant in the token',
        },
      ],
    },
    {
      letter: 'd',
      title: 'A CI robot reads logs, and mints a secret only when delegated',
      steps: [
        {
          call: { method: 'GET', path: '/deployments/web-7/logs', headers: bearer(tokens.robot) },
          want: permitted('logs-read'),
          why: 'the robot may read logs',
        },
        {
          call: { method: 'POST', path: '/secrets', headers: bearer(tokens.robot) },
          want: { status: 403, code: 'principal_not_allowed', rule: 'mint-secret' },
          why: 'its token does not act for a release manager',
        },
        {
          call: { method: 'POST', path: '/secrets', headers: bearer(tokens.release) },
          want: permitted('mint-secret'),
          why: 'delegated role, change window and environment hold',
        },
      ],
    },
    {
      letter: 'e',
      title: 'A partner calls one endpoint while its posture is good',
      steps: [
        {
          call: { method: 'POST', path: '/webhooks/orders', headers: bearer(tokens.partner) },
          want: permitted('partner-orders'),
          why: 'right endpoint, right network, posture active, secret ok',
        },
        {
          call: { method: 'GET', path: '/webhooks/orders', headers: bearer(tokens.partner) },
          want: { status: 403, code: 'no_rule', rule: '' },
          why: 'no rule is for this method',
        },
        {
          before: () => leakSecret(workplace),
          call: { method: 'POST', path: '/webhooks/orders', headers: bearer(tokens.partner) },
          want: { status: 403, code: 'posture_refused', rule: '' },
          why: 'the posture file now says that its secret is leaked; no restart',
        },
      ],
    },
  ];
}

/** Marks the partner's secret as leaked, and gives the running sidecar its second to notice. */
async function leakSecret(workplace: Workplace): Promise<void> {
  const text = readFileSync(workplace.path('data/posture.yaml'), 'utf8');
  workplace.write('data/posture.yaml', text.replace('secretStatus: ok', 'secretStatus: leaked'));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
}

/** The request as a line that can be pasted into a shell in the workplace's folder. */
export function curlLine(workplace: Workplace, { method, path, as, headers }: Call): string {
  const parts = ['curl -s --cacert certs/ca.pem'];
  if (as !== undefined) parts.push(`--cert certs/${as}.pem --key certs/${as}.key`);
  if (method !== 'GET') parts.push(`-X ${method}`);
  for (const [name, value] of Object.entries(headers ?? {})) {
    parts.push(`-H "${name}: ${tokenFile(workplace, value)}"`);
  }
  return `${parts.join(' ')} https://127.0.0.1:${workplace.ports.ingress}${path}`;
}

/** Tokens stand in files: a line to paste stays short, and no token is printed. */
function tokenFile(workplace: Workplace, value: string): string {
  for (const name of ['support', 'robot', 'release', 'partner', 'approval']) {
    const token = readFileSync(workplace.path(`tokens/${name}.jwt`), 'utf8');
    if (value.includes(token)) return value.replace(token, `$(cat tokens/${name}.jwt)`);
  }
  return value;
}
