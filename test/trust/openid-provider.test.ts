import { createServer, type RequestListener, type Server } from 'node:http';
import { expect } from 'chai';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';
import Provider from 'oidc-provider';
import { until } from '../../examples/quickstart/sidecar.js';
import { base64url } from '../identity/fixtures.js';
import { createWorld, patient, said, type World } from '../support/world.js';

const policy = `version: 1
policy: p
principals:
  robot: { jwt: { issuer: provider, subject: robot, claims: { client_id: robot } } }
rules:
  - { id: any, effect: permit, principals: [robot], paths: [/] }
`;
const audience = 'https://edge.example';
const good = 'permit any';
const unknown = 'deny 401 token_key_unknown';
const away = 'deny 503 keys_unavailable';

async function privateJwk(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' };
}

describe('access tokens of a real OpenID provider (RFC 9068)', () => {
  let server: Server;
  let handler: RequestListener;
  let issuer = '';
  /** Requests for keys or for the configuration. */
  let fetches = 0;
  /** Requests for keys that wait for their answer, while they have to. */
  let held: (() => void)[] | undefined;
  let world: World;
  let one: JWK;

  /** A provider with a client for client credentials, whose first key signs. */
  const provider = (...keys: JWK[]): RequestListener =>
    new Provider(issuer, {
      jwks: { keys: keys as never },
      clients: [
        {
          client_id: 'robot',
          client_secret: 'secret',
          grant_types: ['client_credentials'],
          redirect_uris: [],
          response_types: [],
          id_token_signed_response_alg: 'ES256',
        },
      ],
      features: {
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => audience,
          useGrantedResource: () => true,
          getResourceServerInfo: () => ({
            scope: 'read',
            audience,
            accessTokenTTL: 7200,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'ES256' } },
          }),
        },
      },
    }).callback();
  const issue = async (): Promise<string> => {
    const response = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from('robot:secret').toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: 'grant_type=client_credentials&scope=read',
    });
    const { access_token } = (await response.json()) as { access_token: string };
    return access_token;
  };

  before(async () => {
    server = createServer((request, response) => {
      if (request.url?.startsWith('/token')) return handler(request, response);
      fetches += 1;
      if (held === undefined) return handler(request, response);
      held.push(() => handler(request, response));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    issuer = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(async () => {
    one = await privateJwk('one');
    handler = provider(one);
    world = await open();
  });
  const open = () =>
    createWorld(policy, {
      'countersign.yaml': patient.replace(
        '  approvals:',
        `    - { name: provider, issuer: "${issuer}", audiences: ["${audience}"], algorithms: [ES256], types: [at+jwt], jwks: { discovery: true, refresh: 5m, staleMax: 1h } }\n  approvals:`,
      ),
    });
  afterEach(async () => {
    await world.loader.close();
    world.close();
  });

  const ask = async (token: string) =>
    said(await world.ask({ path: '/', headers: { authorization: `Bearer ${token}` } }));
  const becomes = (token: string, want: string) =>
    until(async () => (await ask(token)) === want, `it does not become "${want}"`);
  const failures = () => world.loader.keySources().map((source) => source.failures)[0] ?? 0;
  const withKey = (token: string, kid: string) => {
    const [, payload, signature] = token.split('.');
    const head = base64url(JSON.stringify({ alg: 'ES256', kid, typ: 'at+jwt' }));
    return `${head}.${payload}.${signature}`;
  };

  it('are denied with 503 until the keys are there, and then accepted', async () => {
    const token = await issue();
    await world.loader.close();
    world.close();
    held = [];
    world = await open();
    expect(await ask(token)).to.equal(away);
    for (const answer of held) answer();
    held = undefined;
    await becomes(token, good);
  });

  it('of a new key are accepted after one fetch, and those of a removed key no more (B16, B17)', async () => {
    const old = await issue();
    await becomes(old, good);
    const two = await privateJwk('two');
    handler = provider(two, one);
    const young = await issue();
    expect(await ask(young), 'a Check does not wait for a fetch').to.equal(unknown);
    world.ahead += 10_000;
    const before = fetches;
    await becomes(young, good);
    expect(fetches - before, 'configuration and keys, once').to.equal(2);
    expect(await ask(old)).to.equal(good);
    handler = provider(two);
    world.ahead += 10_000;
    expect(await ask(withKey(old, 'asks-for-a-fetch'))).to.equal(unknown);
    await becomes(old, unknown);
    expect(await ask(young)).to.equal(good);
  });

  const outages: readonly { name: string; answer: RequestListener }[] = [
    { name: 'fails', answer: (_, response) => response.writeHead(500).end() },
    { name: 'hangs', answer: () => {} },
    { name: 'answers HTML', answer: (_, response) => response.end('<html></html>') },
    { name: 'is gone', answer: ({ socket }) => socket.destroy() },
  ];
  for (const { name, answer } of outages) {
    it(`go on while the provider ${name}, until staleMax is over; a flood of unknown keys fetches once (B19)`, async () => {
      const token = await issue();
      await becomes(token, good);
      handler = answer;
      world.ahead += 10_000;
      const before = fetches;
      const flood = async () => {
        for (let at = 0; at < 300; at += 1) {
          expect(await ask(withKey(token, `k${fetches}-${at}`))).to.equal(unknown);
        }
      };
      await flood();
      await until(async () => fetches > before, 'nothing was fetched');
      await flood();
      // Beside the one that an unknown key caused, the background's own next tries may fall into this time.
      expect(fetches - before).to.be.within(1, 4);
      expect(await ask(token)).to.equal(good);
      world.ahead += 5 * 60_000 + 3_600_000;
      expect(await ask(token)).to.equal(away);
    });
  }

  it('are refused when the provider answers with no key at all, which is a revocation (B19)', async () => {
    const token = await issue();
    await becomes(token, good);
    const ordinary = handler;
    handler = (request, response) =>
      request.url === '/jwks' ? response.end('{"keys":[]}') : ordinary(request, response);
    world.ahead += 10_000;
    await ask(withKey(token, 'x'));
    await becomes(token, unknown);
    expect(failures()).to.equal(0);
  });
});
