import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
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
