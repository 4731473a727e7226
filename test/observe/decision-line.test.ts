import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { CheckRecord } from '../../src/check.js';
import { decisionLine } from '../../src/observe/decision-line.js';
import { decisionRecord } from '../../src/observe/decision-record.js';
import { createWorld, type World } from '../support/world.js';

const principal = 'spiffe://prod.example/ns/a/sa/one';
const policy = `version: 1
policy: 'quoted "name"'
principals:
  one: { spiffe: "${principal}" }
  robot: { jwt: { issuer: corp, subject: "robot*" } }
rules:
  - { id: one, effect: permit, principals: [one], methods: [GET], paths: ["/a/{x}"], controls: ["NHI5:2025", PR.AA-05] }
  - { id: two, effect: permit, principals: [robot], paths: ["/b/**"] }
  - { id: tool, effect: permit, principals: [one], paths: [/mcp], mcp: { tools: [t] } }
  - { id: call, effect: permit, principals: [one], grpc: [pkg.Service/*] }
  - { id: pay, effect: permit, principals: [robot], methods: [PUT], paths: [/pay], require: { approval: { from: change-board } } }
  - { id: db, effect: permit, principals: [one], tcp: { ports: [5432] } }
  - { id: trial, effect: deny, mode: shadow, paths: ["/a/{x}"] }
  - { id: no-c, effect: deny, paths: [/c] }
`;

describe('a line of the decision log', () => {
  let world: World;
  const records: { readonly name: string; readonly record: CheckRecord }[] = [];
  before(async () => {
    world = await createWorld(policy);
    const bearer = async (claims: Record<string, unknown>) => ({
      authorization: `Bearer ${await world.corp.sign(claims)}`,
    });
    const robot = await bearer({ sub: 'robot "7"', act: { sub: 'release "manager"' }, jti: 'j"1' });
    const mcp = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 't"' } };
    const requests = {
      'a permit with controls and a shadow': { path: '/a/b', principal },
      'a path with characters that JSON escapes': { path: '/a/b%22?token=secret', principal },
      'a token with an actor': { path: '/b/c', headers: robot },
      'the same token again': { path: '/b/d', headers: robot },
      'peer and token': { path: '/b/c', principal, headers: robot },
      'an MCP message': {
        method: 'POST',
        path: '/mcp',
        principal,
        headers: { 'content-type': 'application/json' },
        rawBody: JSON.stringify(mcp),
      },
      'a gRPC call': {
        method: 'POST',
        path: '/pkg.Service/Get',
        principal,
        headers: { 'content-type': 'application/grpc' },
      },
      'a missing approval': { method: 'PUT', path: '/pay', headers: robot },
      'a deny rule': { path: '/c', principal },
      'no rule': { path: '/nowhere' },
      'a bad path': { path: '/a//b' },
      'a bad token': { path: '/b/c', headers: { authorization: 'Bearer x.y.z' } },
    };
    for (const [name, given] of Object.entries(requests)) {
      records.push({ name, record: (await world.ask(given)).record });
    }
    records.push({ name: 'garbage', record: (await world.askBytes(Uint8Array.of(255))).record });
    records.push({ name: 'nothing', record: (await world.askBytes(new Uint8Array(0))).record });
  });
  after(() => world.close());

  it('has a record of each kind to be held to', () => {
    const codes = records.map(({ record }) => record.decision.code);
    expect(codes).to.include.members(['permitted', 'denied_by_rule', 'no_rule', 'path_ambiguous']);
    expect(codes.filter((code) => code === 'permitted').length).to.be.greaterThan(4);
  });

  for (const detail of ['basic', 'full'] as const) {
    it(`is one line, and says what the record says: ${detail}`, () => {
      const credentials = new Set(['authorization']);
      for (const { name, record } of records) {
        const line = decisionLine(record, detail, credentials);
        expect(line.indexOf('\n'), name).to.equal(line.length - 1);
        const fields = JSON.parse(JSON.stringify(decisionRecord(record, detail, credentials)));
        const time = new Date(record.nowMs).toISOString();
        const head = { time, level: 'info', msg: 'decision' };
        expect(JSON.parse(line), name).to.deep.equal({ ...head, ...fields });
      }
    });
  }
});
