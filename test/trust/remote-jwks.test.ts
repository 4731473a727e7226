import { createServer, type RequestListener, type Server } from 'node:http';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { after, afterEach, before, describe, it } from 'mocha';
import Provider from 'oidc-provider';
import { until } from '../../examples/quickstart/sidecar.js';
import { Refusal } from '../../src/errors.js';
import { type RemoteJwks, remoteJwks } from '../../src/trust/remote-jwks.js';

/** A key pair of an OpenID provider, as a private JWK. */
async function privateJwk(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' };
}

describe('keys of a real OpenID provider', () => {
  let server: Server;
  let handler: RequestListener;
  let issuer = '';
  let requests = 0;
  let now = 0;
  let source: RemoteJwks | undefined;
  const provider = (...keys: JWK[]) =>
    new Provider(issuer, { jwks: { keys: keys as never }, clients: [] }).callback();
  const start = (at: 'url' | 'discovery' = 'discovery') => {
    source = remoteJwks({
      at: at === 'url' ? { url: `${issuer}/jwks` } : { issuer },
      algorithms: ['ES256'],
      refreshMs: 60_000,
      staleMaxMs: 60_000,
      timeoutMs: 500,
      nowMs: () => Date.now() + now,
      random: () => 0.5,
    });
    return source;
  };
  const kids = () => {
    const keys = source?.current();
    return keys instanceof Refusal ? keys.code : keys?.keys.map(({ kid }) => kid).join();
  };
  const fetched = (wanted: string) =>
    until(async () => kids() === wanted, `the keys are ${kids()}`);

  before(async () => {
    server = createServer((request, response) => {
      requests += 1;
      handler(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    issuer = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  afterEach(() => {
    source?.close();
    now = 0;
  });

  it('are there by discovery, and away before the first answer', async () => {
    handler = provider(await privateJwk('one'));
    start();
    expect(kids()).to.equal('keys_unavailable');
    await fetched('one');
  });

  it('are there from a server that answers 406 unless their own media type is asked for', async () => {
    const answer = provider(await privateJwk('one'));
    // As the API server of Kubernetes 1.37.2 has it; the pods of test/cluster ask the real one.
    handler = (request, response) => {
      const own = request.url === '/jwks' ? 'application/jwk-set+json' : 'application/json';
      const isAsked = request.headers.accept?.includes(own) === true;
      return isAsked ? answer(request, response) : response.writeHead(406).end();
    };
    start();
    await fetched('one');
  });

  it('rotate: an unknown key id causes one fetch, and no more until the cool-down is over (B17)', async () => {
    const one = await privateJwk('one');
    handler = provider(one);
    start('url');
    await fetched('one');
    handler = provider(await privateJwk('two'), one);
    const before = requests;
    for (let tries = 0; tries < 50; tries += 1) source?.missing('two');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(requests).to.equal(before);
    now += 10_000;
    for (let tries = 0; tries < 50; tries += 1) source?.missing('two');
    await fetched('two,one');
    expect(requests).to.equal(before + 1);
  });

  const nonsense: readonly { name: string; answer: RequestListener }[] = [
    { name: 'HTML', answer: (_, response) => response.end('<html></html>') },
    { name: 'an object that is no key set', answer: (_, response) => response.end('{}') },
    {
      name: 'a redirect',
      answer: (_, response) => response.writeHead(302, { location: '/elsewhere' }).end(),
    },
    { name: 'a failure', answer: (_, response) => response.writeHead(500).end() },
    {
      name: '10 MB',
      answer: (_, response) => response.end(`{"keys":[],"x":"${'y'.repeat(10_000_000)}"}`),
    },
    { name: 'a hang-up', answer: (request) => request.destroy() },
    { name: 'nothing, and hangs', answer: () => {} },
    {
      name: 'half a set, and hangs',
      answer: (_, response) => response.writeHead(200).write('{"keys":['),
    },
    {
      name: 'a redirect to a good set',
      answer: ({ url }, response) =>
        url === '/good'
          ? response.end('{"keys":[]}')
          : response.writeHead(307, { location: '/good' }).end(),
    },
    {
      name: '10 MB in 40 kB of gzip',
      answer: (_, response) =>
        response
          .writeHead(200, { 'content-encoding': 'gzip' })
          .end(gzipSync(`{"keys":[],"x":"${'y'.repeat(10_000_000)}"}`)),
    },
    {
      name: 'over a hundred keys',
      answer: (_, response) => response.end(JSON.stringify({ keys: Array(101).fill({}) })),
    },
    { name: 'a list', answer: (_, response) => response.end('[]') },
    { name: 'keys twice', answer: (_, response) => response.end('{"keys":[],"keys":[]}') },
    { name: '204', answer: (_, response) => response.writeHead(204).end() },
  ];
  for (const { name, answer } of nonsense) {
    it(`stay when the provider answers ${name}, until they are too old (B19)`, async () => {
      handler = provider(await privateJwk('one'));
      start('url');
      await fetched('one');
      handler = answer;
      now += 10_000;
      source?.missing('two');
      await until(async () => (source?.state().failures ?? 0) > 0, 'the fetch did not fail');
      expect(kids()).to.equal('one');
      expect(source?.state().lastError).to.be.a('string').and.not.include('yyy');
      now += 200_000;
      expect(kids()).to.equal('keys_unavailable');
    });
  }

  it('are revoked by an empty set (B19)', async () => {
    handler = provider(await privateJwk('one'));
    start('url');
    await fetched('one');
    handler = (_, response) => response.end('{"keys":[]}');
    now += 10_000;
    source?.missing('x');
    await fetched('');
  });

  it('are not taken from a configuration that names another issuer, or an untrusted place', async () => {
    for (const body of [
      { issuer: 'https://evil.example', jwks_uri: `${issuer}/jwks` },
      { issuer, jwks_uri: 'http://192.0.2.1/jwks' },
      { issuer },
    ]) {
      handler = (_, response) => response.end(JSON.stringify(body));
      const tried = start();
      await until(async () => tried.state().failures > 0, 'the fetch did not fail');
      expect(kids()).to.equal('keys_unavailable');
      tried.close();
    }
  });
});
