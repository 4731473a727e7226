import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { run } from '../../src/cli/run.js';
import { newKey, publicJwk, type SigningKey, signRaw } from '../identity/fixtures.js';
import { createWorld, said, type World } from '../support/world.js';

const seconds = () => Math.floor(Date.now() / 1000);
const key = newKey('platform-1', 'RS256');
const year = 365 * 24 * 3600;

interface Row {
  readonly name: string;
  readonly claims?: object;
  readonly header?: object;
  readonly key?: SigningKey;
  readonly want: string;
}

interface Platform {
  readonly folder: string;
  /** Where its header is another than that of most. */
  readonly header?: object;
  /** What the issuer really writes into a token for the request below. */
  readonly good: () => object;
  readonly request: { readonly method: string; readonly path: string };
  readonly permit: string;
  readonly traps: readonly Row[];
}

const platforms: readonly Platform[] = [
  {
    folder: 'github-actions',
    good: () => ({
      iss: 'https://token.actions.githubusercontent.com',
      aud: 'deploy.example',
      sub: 'repo:acme@42/shop@4711:environment:production',
      repository: 'acme/shop',
      repository_id: '4711',
      repository_owner_id: '42',
      ref: 'refs/heads/main',
      ref_type: 'branch',
      environment: 'production',
      event_name: 'push',
      runner_environment: 'github-hosted',
      job_workflow_ref: 'acme/deploy/.github/workflows/release.yml@refs/heads/main',
      exp: seconds() + 300,
    }),
    request: { method: 'POST', path: '/secrets' },
    permit: 'permit release-mints',
    traps: [
      {
        name: 'the default audience, the URL of the owner',
        claims: { aud: 'https://github.com/acme' },
        want: 'deny 401 token_audience_mismatch',
      },
      {
        name: 'a tag called main',
        claims: { ref: 'refs/tags/main', ref_type: 'tag' },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'a runner of the repository’s own',
        claims: { runner_environment: 'self-hosted' },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'a workflow that nobody reviewed',
        claims: { job_workflow_ref: 'acme/deploy/.github/workflows/release.yml@refs/heads/try' },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'an id that is a number',
        claims: { repository_id: 4711 },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'a pull request with the claims of a release',
        claims: { event_name: 'pull_request_target' },
        want: 'deny 403 denied_by_rule pull-requests-mint-nothing',
      },
      {
        name: 'a token without the ids',
        claims: { repository_id: undefined },
        want: 'deny 401 token_claim_invalid',
      },
    ],
  },
  {
    folder: 'gitlab-ci',
    good: () => ({
      iss: 'https://gitlab.example',
      aud: 'deploy.example',
      sub: 'project_path:acme/shop:ref_type:branch:ref:main',
      project_id: '1234',
      ref: 'main',
      ref_type: 'branch',
      ref_protected: 'true',
      environment: 'production',
      environment_protected: 'true',
      pipeline_source: 'push',
      exp: seconds() + 3600,
    }),
    request: { method: 'POST', path: '/secrets' },
    permit: 'permit release-mints',
    traps: [
      {
        name: 'B22 the text "false"',
        claims: { ref_protected: 'false' },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'a boolean where GitLab writes a text',
        claims: { ref_protected: true },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'a tag called main',
        claims: { ref_type: 'tag' },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'a merge request of a fork',
        claims: { pipeline_source: 'merge_request_event' },
        want: 'deny 403 principal_not_allowed release-mints',
      },
      {
        name: 'the audience of another service',
        claims: { aud: ['https://vault.example'] },
        want: 'deny 401 token_audience_mismatch',
      },
      {
        name: 'another instance of GitLab',
        claims: { iss: 'https://gitlab.com' },
        want: 'deny 401 token_issuer_unknown',
      },
    ],
  },
  {
    folder: 'keycloak',
    good: () => ({
      iss: 'https://keycloak.example/realms/shop',
      aud: ['orders', 'account'],
      sub: '6f1d2c9e-0f0c-4b6e-9a55-0f3f6a9a7b11',
      azp: 'billing',
      typ: 'Bearer',
      preferred_username: 'service-account-billing',
      exp: seconds() + 300,
    }),
    request: { method: 'GET', path: '/orders/o-1' },
    permit: 'permit billing-reads-orders',
    traps: [
      {
        name: 'only the audience that every client has',
        claims: { aud: ['account'] },
        want: 'deny 401 token_audience_mismatch',
      },
      {
        name: 'a token about billing that another client exchanged',
        claims: { azp: 'reports' },
        want: 'deny 403 principal_not_allowed billing-reads-orders',
      },
      { name: 'an ID token', claims: { typ: 'ID' }, want: 'deny 401 token_type_refused' },
      {
        name: 'another realm of the same server',
        claims: { iss: 'https://keycloak.example/realms/test' },
        want: 'deny 401 token_issuer_unknown',
      },
      {
        name: 'a token without azp',
        claims: { azp: undefined },
        want: 'deny 401 token_claim_invalid',
      },
    ],
  },
];

const account = { name: 'planner', uid: '0a3f8f0e-6a0d-4f3c-9d43-3c6f8a5a1b11' };
const pod = { name: 'planner-7c9', uid: '5b0a8c1e-0000-4000-8000-000000000001' };
const cluster = (changes: object) => ({
  'kubernetes.io': { namespace: 'agents', serviceaccount: account, pod, ...changes },
});

const kubernetes: Platform = {
  folder: 'kubernetes-serviceaccount',
  good: () => ({
    iss: 'https://kubernetes.default.svc.cluster.local',
    aud: ['orders.example'],
    sub: 'system:serviceaccount:agents:planner',
    jti: 'b6b2f1f0-5d2e-4b0e-9c39-1f2d3c4b5a69',
    nbf: seconds(),
    exp: seconds() + 600,
    ...cluster({ node: { name: 'n1', uid: '8a2d' } }),
  }),
  header: { typ: undefined },
  request: { method: 'POST', path: '/orders' },
  permit: 'permit planner-writes',
  traps: [
    {
      name: 'B20 the audience of the API server',
      claims: { aud: ['https://kubernetes.default.svc.cluster.local'] },
      want: 'deny 401 token_audience_mismatch',
    },
    {
      name: 'B20 a token that the API server prolonged to a year, with its warnafter',
      claims: { exp: seconds() + year, ...cluster({ warnafter: seconds() + 3607 }) },
      want: 'deny 401 token_lifetime_exceeded',
    },
    {
      name: 'B20 a token of a Secret, without end',
      claims: {
        iss: 'kubernetes/serviceaccount',
        aud: undefined,
        exp: undefined,
        iat: undefined,
        'kubernetes.io': undefined,
        'kubernetes.io/serviceaccount/namespace': 'agents',
        'kubernetes.io/serviceaccount/service-account.name': 'planner',
        'kubernetes.io/serviceaccount/service-account.uid': account.uid,
      },
      want: 'deny 401 token_issuer_unknown',
    },
    {
      name: 'the claims of such a token under the issuer of today',
      claims: {
        'kubernetes.io': undefined,
        'kubernetes.io/serviceaccount/namespace': 'agents',
        'kubernetes.io/serviceaccount/service-account.name': 'planner',
      },
      want: 'deny 401 token_claim_invalid',
    },
    {
      name: 'the issuer of another cluster',
      claims: { iss: 'https://kubernetes.default.svc' },
      want: 'deny 401 token_issuer_unknown',
    },
    {
      name: 'a service account that was made again under the name',
      claims: cluster({
        serviceaccount: { ...account, uid: 'ffffffff-0000-4000-8000-000000000002' },
      }),
      want: 'deny 403 principal_not_allowed planner-writes',
    },
    {
      name: 'a service account of that name in another namespace',
      claims: { sub: 'system:serviceaccount:other:planner', ...cluster({ namespace: 'other' }) },
      want: 'deny 403 principal_not_allowed planner-writes',
    },
    {
      name: 'a subject that its claims do not bear out',
      claims: cluster({ namespace: 'other' }),
      want: 'deny 403 principal_not_allowed planner-writes',
    },
    {
      name: 'a token that no pod holds',
      claims: cluster({ pod: undefined }),
      want: 'deny 403 condition_false planner-writes',
    },
    {
      name: 'a token of an hour ago',
      claims: { iat: seconds() - 1800, exp: seconds() + 1800 },
      want: 'deny 401 token_too_old planner-writes',
    },
  ],
};

/** What no platform's token may pass with. */
const everywhere: readonly Row[] = [
  {
    name: 'a year to live',
    claims: { exp: seconds() + year },
    want: 'deny 401 token_lifetime_exceeded',
  },
  { name: 'no end', claims: { exp: undefined }, want: 'deny 401 token_claim_invalid' },
  {
    name: 'a key that is not the platform’s',
    key: newKey('platform-1', 'RS256'),
    want: 'deny 401 token_signature_invalid',
  },
  {
    name: 'the type of an access token',
    header: { typ: 'at+jwt' },
    want: 'deny 401 token_type_refused',
  },
];

for (const { folder, good, header: usual, request, permit, traps } of [...platforms, kubernetes]) {
  describe(`the example ${folder}`, () => {
    let world: World;
    const root = `examples/${folder}`;
    const read = (path: string) => readFileSync(`${root}/${path}`, 'utf8');

    before(async () => {
      const [policy = ''] = readdirSync(`${root}/policies`);
      // The keys come from a file here, since nobody else can sign for the platform.
      const config = read('countersign.yaml').replace('{ discovery: true }', '{ file: keys.json }');
      expect(config).to.include('file: keys.json');
      world = await createWorld(read(`policies/${policy}`), {
        'countersign.yaml': config,
        'keys.json': JSON.stringify({ keys: [{ ...publicJwk(key), kid: key.kid, use: 'sig' }] }),
      });
    });
    after(() => world.close());

    const ask = async ({
      claims = {},
      header = {},
      key: signer = key,
    }: Omit<Row, 'name' | 'want'>) => {
      const payload = { iat: seconds(), jti: 'j-1', ...good(), ...claims };
      const token = signRaw(
        { alg: 'RS256', kid: key.kid, typ: 'JWT', ...usual, ...header },
        payload,
        signer,
      );
      return said(await world.ask({ ...request, headers: { authorization: `Bearer ${token}` } }));
    };

    it('loads without a warning, and its suite passes and decides every rule', async () => {
      let out = '';
      const io = { out: (text: string) => (out += text), err: (text: string) => (out += text) };
      const config = ['-c', `${root}/countersign.yaml`];
      expect(await run(['validate', '--strict', ...config], io), out).to.equal(0);
      out = '';
      expect(await run(['test', ...config, `${root}/suite.yaml`], io), out).to.equal(0);
      expect(out).to.match(/^\d+ passed, 0 failed\n$/);
    });

    it('permits what the platform really signs', async () => {
      expect(await ask({})).to.equal(permit);
    });

    for (const { name, want, ...row } of [...traps, ...everywhere]) {
      it(`does not permit ${name}`, async () => {
        expect(await ask(row)).to.equal(want);
      });
    }
  });
}
