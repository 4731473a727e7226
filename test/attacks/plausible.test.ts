import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import type { Given } from '../support/check-request.js';
import { createWorld, said, type World } from '../support/world.js';

/** A policy as somebody in a hurry writes it: broad permits, and denies that are to hold them. */
const policy = `version: 1
policy: hurried
principals:
  agent: { jwt: { issuer: corp, subject: "agent-*" } }
  lead: { jwt: { issuer: corp, subject: "agent-*", actor: { claims: { role: lead } } } }
  workload: { spiffe: "spiffe://prod.example/ns/**" }
rules:
  - { id: all, effect: permit, principals: [agent, workload], paths: ["/**"] }
  - { id: no-admin, effect: deny, when: request.path.startsWith("/admin") }
  - { id: no-files, effect: deny, paths: ["/files/**"] }
  - { id: no-host, effect: deny, hosts: [admin.example] }
  - { id: no-marked, effect: deny, paths: ["/marked"], when: '!("x-mark" in request.headers) || request.headers["x-mark"] != "fine"' }
  - { id: no-many, effect: deny, methods: [POST], paths: ["/orders"], when: request.body.count > 10 }
  - { id: no-flag, effect: deny, paths: ["/flag/{who}"], when: path.who in token.claims.barred }
  - { id: no-guest, effect: deny, paths: ["/guest"], when: '!has(token.claims.staff)' }
  - { id: no-stale, effect: deny, paths: ["/posture"], require: { posture: { status: [active], maxAge: 1h } } }
  - { id: no-fresh, effect: deny, paths: ["/aged"], require: { maxTokenAge: 1h } }
  - { id: would-deny, effect: deny, mode: shadow, paths: ["/shadow"] }
  - { id: would-permit, effect: permit, mode: shadow, principals: [anyone], hosts: [public.example], paths: ["/shadow"] }
  - { id: two-ways, effect: permit, principals: [anyone], hosts: [two.example], paths: ["/{tenant}/x/{id}", "/{id}/{tenant}/y"], when: path.tenant == "acme" }
  - { id: leads, effect: permit, principals: [lead], hosts: [leads.example], paths: ["/lead"] }
`;

const workload = 'spiffe://prod.example/ns/a/sa/b';
const json = { 'content-type': 'application/json', 'x-envoy-auth-partial-body': 'false' };
const post = (body: string): Given => ({
  method: 'POST',
  path: '/orders',
  headers: json,
  rawBody: body,
});

interface Row {
  readonly name: string;
  readonly given: Given;
  /** Claims of the token; undefined: the caller is a workload by mTLS. */
  readonly claims?: object;
  readonly want: string;
}

const denied = (rule: string) => `deny 403 denied_by_rule ${rule}`;
const rows: readonly Row[] = [
  { name: 'the path as it is', given: { path: '/admin/x' }, want: denied('no-admin') },
  { name: 'the path in another spelling', given: { path: '/%61dmin/x' }, want: denied('no-admin') },
  { name: 'the folder itself', given: { path: '/files' }, want: denied('no-files') },
  { name: 'the folder with a slash', given: { path: '/files/' }, want: denied('no-files') },
  { name: 'a file in it', given: { path: '/files/a/' }, want: denied('no-files') },
  {
    name: 'the host with a port',
    given: { host: 'admin.example:8443', path: '/x' },
    want: denied('no-host'),
  },
  {
    name: 'the host with a dot, in another case',
    given: { host: 'Admin.Example.', path: '/x' },
    want: denied('no-host'),
  },
  {
    name: 'two hosts',
    given: { host: 'api.example,admin.example', path: '/x' },
    want: 'deny 400 header_ambiguous',
  },
  {
    name: 'a header that is as it should be',
    given: { path: '/marked', headers: { 'x-mark': 'fine' } },
    want: 'permit all',
  },
  {
    name: 'a header that came twice',
    given: {
      path: '/marked',
      lines: [
        ['x-mark', 'fine'],
        ['x-mark', 'bad'],
      ],
    },
    want: denied('no-marked'),
  },
  { name: 'a body within bounds', given: post('{"count":10}'), want: 'permit all' },
  { name: 'a body out of bounds', given: post('{"count":10.5}'), want: denied('no-many') },
  { name: 'a number as text', given: post('{"count":"11"}'), want: denied('no-many') },
  { name: 'no such member', given: post('{}'), want: denied('no-many') },
  {
    name: 'a member in two cases',
    given: post('{"count":1,"Count":11}'),
    want: 'deny 400 body_unreadable',
  },
  { name: 'no body', given: post(''), want: denied('no-many') },
  {
    name: 'an integer that parsers read apart',
    given: post('{"count":9007199254740993}'),
    want: 'deny 400 body_unreadable',
  },
  {
    name: 'a list that has the caller',
    given: { path: '/flag/a' },
    claims: { barred: ['a'] },
    want: denied('no-flag'),
  },
  {
    name: 'a list that has it, in another spelling of the path',
    given: { path: '/flag/%61' },
    claims: { barred: ['a'] },
    want: denied('no-flag'),
  },
  {
    name: 'a text in the place of a list',
    given: { path: '/flag/a' },
    claims: { barred: 'abc' },
    want: denied('no-flag'),
  },
  { name: 'no list', given: { path: '/flag/a' }, claims: {}, want: denied('no-flag') },
  {
    name: 'another list',
    given: { path: '/flag/a' },
    claims: { barred: ['b'] },
    want: 'permit all',
  },
  {
    name: 'a claim of a similar name',
    given: { path: '/guest' },
    claims: { Staff: true },
    want: denied('no-guest'),
  },
  { name: 'no token at all', given: { path: '/guest' }, want: denied('no-guest') },
  { name: 'a rule in shadow mode that denies', given: { path: '/shadow' }, want: 'permit all' },
  {
    name: 'a rule in shadow mode that permits',
    given: { host: 'public.example', path: '/shadow', principal: '' },
    want: 'deny 401 credential_missing all',
  },
  {
    name: 'one template out of two that holds',
    given: { host: 'two.example', path: '/acme/x/y', principal: '' },
    want: 'permit two-ways',
  },
  {
    name: 'two templates, and the capture of neither is the tenant',
    given: { host: 'two.example', path: '/evil/x/y', principal: '' },
    want: 'deny 403 condition_false two-ways',
  },
  {
    name: 'another method by a header',
    given: { path: '/x', headers: { 'x-http-method-override': 'DELETE' } },
    want: 'deny 400 header_ambiguous',
  },
];

describe('a plausible policy', () => {
  let world: World;
  before(async () => {
    world = await createWorld(policy);
  });
  after(() => world.close());

  const ask = async (given: Given, claims: object | undefined, path = given.path) => {
    const token = await world.corp.sign({ sub: 'agent-7', ...claims });
    const bearer: [string, string] = ['authorization', `Bearer ${token}`];
    if (claims === undefined) return said(await world.ask({ principal: workload, ...given }));
    const headers = { ...given.headers, [bearer[0]]: bearer[1] };
    return said(await world.ask({ ...given, headers, ...(path === undefined ? {} : { path }) }));
  };

  for (const { name, given, claims, want } of rows) {
    it(`${name}: ${want}`, async () => expect(await ask(given, claims)).to.equal(want));
  }

  it('D20 an actor within the actor is no authority', async () => {
    const nested = { act: { sub: 'robot', act: { sub: 'maria', role: 'lead' } } };
    const given = { host: 'leads.example', path: '/lead' };
    const outer = { act: { sub: 'maria', role: 'lead' } };
    const own = await createWorld(policy.replace(/ {2}- \{ id: all,.*\n/, ''));
    const say = async (claims: object) => {
      const authorization = `Bearer ${await own.corp.sign({ sub: 'agent-7', ...claims })}`;
      return said(await own.ask({ ...given, headers: { authorization } }));
    };
    expect(await say(outer)).to.equal('permit leads');
    expect(await say(nested)).to.equal('deny 403 principal_not_allowed leads');
    own.close();
  });

  const posture = (updatedAt: string, status: string) =>
    `version: 1\nupdatedAt: ${updatedAt}\nidentities: { "${status}": { status: active } }\n`;
  const now = new Date().toISOString();
  for (const { name, text, want } of [
    { name: 'in a state that it names', text: posture(now, workload), want: denied('no-stale') },
    { name: 'that is not listed', text: posture(now, 'corp:x'), want: 'permit all' },
    {
      name: 'whose posture is too old to tell',
      text: posture('2020-01-01T00:00:00Z', workload),
      want: denied('no-stale'),
    },
  ]) {
    it(`a deny rule for a posture, and a caller ${name}: ${want}`, async () => {
      const own = await createWorld(policy, { 'data/posture.yaml': text });
      expect(said(await own.ask({ path: '/posture', principal: workload }))).to.equal(want);
      own.close();
    });
  }

  it('a deny rule for young tokens holds for one that does not say its age, and for no other', async () => {
    const at = Math.floor(Date.now() / 1000);
    expect(await ask({ path: '/aged' }, {})).to.equal(denied('no-fresh'));
    expect(await ask({ path: '/aged' }, { iat: at - 3500, exp: at + 10 })).to.equal(
      denied('no-fresh'),
    );
    expect(await ask({ path: '/aged' }, undefined)).to.equal('permit all');
  });
});
