import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { root } from '../../envoy/find-envoy.js';
import { until } from '../../examples/quickstart/sidecar.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';
import { run } from '../../src/cli/run.js';

describe('policy test suites', () => {
  let workplace: Workplace;
  before(async () => {
    workplace = await createWorkplace();
  });
  after(() => workplace.remove());
  const test = async (suite: string, ...more: string[]) => {
    let out = '';
    let err = '';
    const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
    const code = await run(
      ['test', '-c', workplace.configFile, join(workplace.folder, suite), ...more],
      io,
    );
    return { code, out, err };
  };

  it('the suite of the quick start passes, and every rule is decided', async () => {
    expect(await test('suite.yaml')).to.deep.equal({
      code: 0,
      out: '12 passed, 0 failed\n',
      err: '',
    });
  });

  it('shows a failure with its trace, and the rules that no case decided', async () => {
    workplace.write(
      'wrong.yaml',
      `version: 1
callers: { agent: { token: { issuer: corp, subject: agent-7, claims: { kind: agent, tenant: acme, customers: [] } } } }
cases:
  - { name: it reads, caller: agent, request: { path: /tenants/acme/customers/c-17 }, want: permit }
`,
    );
    const { code, out } = await test('wrong.yaml');
    expect(code).to.equal(1);
    expect(out)
      .to.include('wanted permit')
      .and.include('got    deny condition_false customer-context');
    expect(out)
      .to.include('token.claims.customers = []')
      .and.match(/Rules that no case decided: .*payments-write/);
    expect(out).to.match(/0 passed, 1 failed\n$/);
  });

  it('tells what no case decided: rules, principals, and both ways of a condition', async () => {
    workplace.write(
      'partly.yaml',
      `version: 1
callers: { agent: { token: { issuer: corp, subject: agent-7, claims: { kind: agent, tenant: acme, customers: [c-17] } } } }
cases:
  - { name: it reads, caller: agent, request: { path: /tenants/acme/customers/c-17 }, want: permit }
`,
    );
    const { code, out } = await test('partly.yaml', '--json');
    const { undecided } = JSON.parse(out);
    expect(code).to.equal(0);
    expect(undecided.rules).to.include('payments-write').and.not.include('customer-context');
    expect(undecided.principals)
      .to.include('payments/payments-bot')
      .and.not.include('customers/support-agent');
    expect(undecided.neverTrue).to.include('mint-secret').and.not.include('customer-context');
    expect(undecided.neverFalse).to.include.members(['mint-secret', 'customer-context']);
    expect((await test('partly.yaml')).out).to.match(
      /Rules that no case .*\nPrincipals that no case .*\nConditions .* true: .*\nConditions .* false: .*\n1 passed/,
    );
  });

  it('writes JUnit XML for CI', async () => {
    workplace.write(
      'two.yaml',
      `version: 1
callers: { agent: { peer: "spiffe://prod.example/ns/agents/sa/planner" } }
cases:
  - { name: 'reads & "writes" <>', caller: agent, request: { path: /finance/q3 }, want: permit }
  - { name: writes, caller: agent, request: { path: /finance/q3, method: POST }, want: permit }
`,
    );
    const file = workplace.path('junit.xml');
    expect(await test('two.yaml', '--junit', file)).to.have.property('code', 1);
    const suite = workplace.path('two.yaml');
    const xml = readFileSync(file, 'utf8').replace(/ time="[\d.]+"/g, '');
    const [head, ...lines] = xml.split('\n');
    expect(head).to.equal('<?xml version="1.0" encoding="UTF-8"?>');
    expect(lines.slice(0, 4)).to.deep.equal([
      '<testsuites tests="2" failures="1">',
      `  <testsuite name="${suite}" tests="2" failures="1">`,
      `    <testcase name="reads &amp; &quot;writes&quot; &lt;&gt;" classname="${suite}"/>`,
      `    <testcase name="writes" classname="${suite}">`,
    ]);
    expect(lines[4]).to.match(
      /^ {6}<failure message="wanted permit, got deny denied_by_rule agents-do-not-write-finance">.*<\/failure>$/,
    );
    expect(lines.slice(5)).to.deep.equal([
      '    </testcase>',
      '  </testsuite>',
      '</testsuites>',
      '',
    ]);
  });

  it('runs again at every change of a file, until it is interrupted', async () => {
    const own = await createWorkplace();
    const suite = join(own.folder, 'suite.yaml');
    const main = join(root, 'build', 'src', 'main.js');
    const child = spawn(process.execPath, [main, 'test', '--watch', '-c', own.configFile, suite]);
    let said = '';
    child.stdout.on('data', (chunk) => (said += String(chunk)));
    child.stderr.on('data', (chunk) => (said += String(chunk)));
    const ended = new Promise((resolve) => child.once('close', resolve));
    const runs = (line: RegExp) => until(async () => line.test(said), `${line} is not said`);
    try {
      await runs(/12 passed, 0 failed\n/);
      const policy = own.path('policies', 'finance.yaml');
      const good = readFileSync(policy, 'utf8');
      writeFileSync(policy, good.replace('effect: deny', 'effect: dney'));
      await runs(/wrong value|one of/);
      writeFileSync(policy, good.replace('effect: deny', 'effect: permit'));
      await runs(/[1-9] failed\n/);
      child.kill('SIGINT');
      expect(await ended).to.equal(1);
    } finally {
      child.kill('SIGKILL');
      own.remove();
    }
  });

  it('judges MCP messages and bodies', async () => {
    workplace.write(
      'policies/tools.yaml',
      `version: 1
policy: tools
rules:
  - { id: tool, effect: permit, principals: [anyone], paths: [/mcp], mcp: { tools: [get], onlyArguments: [tenant] }, when: mcp.arguments.tenant == "acme" }
  - { id: body, effect: permit, principals: [anyone], methods: [POST], paths: [/body], when: request.body.n < 3 }
`,
    );
    workplace.write(
      'mcp.yaml',
      `version: 1
cases:
  - { name: a tool, request: { path: /mcp }, mcp: { tool: get, arguments: { tenant: acme } }, want: { effect: permit, rule: tool } }
  - { name: another tenant, request: { path: /mcp }, mcp: { tool: get, arguments: { tenant: evil } }, want: { effect: deny, code: condition_false } }
  - { name: another argument, request: { path: /mcp }, mcp: { tool: get, arguments: { all: true } }, want: { effect: deny, code: no_rule } }
  - { name: a body, request: { method: POST, path: /body }, body: { n: 2 }, want: permit }
  - { name: another body, request: { method: POST, path: /body }, body: { n: 7 }, want: deny }
`,
    );
    const { code, out } = await test('mcp.yaml');
    expect(out).to.match(/5 passed, 0 failed\n$/);
    expect(code).to.equal(0);
  });

  it('refuses a suite with a fault, an unknown caller, and a file that is not there', async () => {
    workplace.write(
      'bad.yaml',
      'version: 1\ncases:\n  - { name: x, request: { path: / }, wnat: permit }\n',
    );
    const bad = await test('bad.yaml');
    expect([bad.code, bad.err]).to.satisfy(
      ([code, err]: [number, string]) =>
        code === 1 && /unknown key "wnat" – did you mean "want"/.test(err),
    );
    workplace.write(
      'who.yaml',
      'version: 1\ncases:\n  - { name: x, caller: y, request: { path: / }, want: deny }\n',
    );
    expect((await test('who.yaml')).code).to.equal(2);
    expect((await test('none.yaml')).code).to.equal(2);
  });
});
