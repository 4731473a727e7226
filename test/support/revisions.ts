import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createIssuer } from '../../examples/quickstart/issuer.js';
import { encodeCheckRequest } from '../../src/wire/external-auth.js';
import { decodeCheckResponse } from '../../src/wire/received-response.js';
import { checkRequest, type Given } from './check-request.js';

/** One question that two revisions answer differently, and any mixture of them in a third way. */
export interface Probe {
  readonly name: string;
  readonly given: Given;
  /** What revision a says, and what revision b says; nobody may say anything else. */
  readonly allowed: readonly [a: string, b: string];
}

/** A folder as Kubernetes mounts it, with two revisions of every kind of file. */
export interface Revisions {
  readonly configFile: string;
  readonly probes: readonly Probe[];
  /** What `swap` does, for a process of its own: arguments of `swapScript`. */
  readonly mount: string;
}

const svid = 'spiffe://prod.example/ns/a/sa/svid';
const one = 'spiffe://prod.example/ns/a/sa/one';
const gone = {
  a: 'spiffe://prod.example/ns/a/sa/gone-a',
  b: 'spiffe://prod.example/ns/a/sa/gone-b',
};

const config = (revision: string, head: string) => `version: 1
${head}
trust:
  spiffe:
    trustDomains: [prod.example]
    jwtSvid: { audiences: [edge], bundles: { prod.example: bundle.json } }
  jwt:
    - name: corp
      issuer: https://idp.example
      audiences: [edge]
      algorithms: [ES256]
      jwks: { file: corp.jwks.json }
policies: [p.yaml]
facts: { revision: ${revision} }
data: { posture: posture.yaml, revocations: revocations.yaml, partners: partners.yaml }
`;

/** Each rule asks every file whether it is of the same revision. */
const policy = (revision: string) => {
  const files = `facts.revision == "${revision}" && data.partners.revision == "${revision}"`;
  return `version: 1
policy: p
rules:
  - { id: of-${revision}, effect: permit, principals: [authenticated], paths: [/peer], when: '${files} && posture.owner == "${revision}"' }
  - { id: of-${revision}-token, effect: permit, principals: [authenticated], paths: [/token], when: '${files} && token.claims.revision == "${revision}"' }
`;
};

const posture = (revision: string) => `version: 1
updatedAt: ${new Date().toISOString()}
identities:
${[one, gone.a, gone.b].map((id) => `  "${id}": { status: active, secretStatus: ok, owner: ${revision} }\n`).join('')}`;

/** @param head lines of the configuration that both revisions have */
export async function createRevisions(folder: string, head = ''): Promise<Revisions> {
  const mount = join(folder, 'mount');
  const issuers = {
    a: await createIssuer('https://idp.example', 'key-a'),
    b: await createIssuer('https://idp.example', 'key-b'),
  };
  const bundle = (revision: 'a' | 'b') => ({
    keys: issuers[revision].jwks.keys.map((jwk) => ({ ...jwk, use: 'jwt-svid' })),
  });
  for (const revision of ['a', 'b'] as const) {
    const files = {
      'countersign.yaml': config(revision, head),
      'p.yaml': policy(revision),
      'corp.jwks.json': JSON.stringify(issuers[revision].jwks),
      'bundle.json': JSON.stringify(bundle(revision)),
      'posture.yaml': posture(revision),
      'revocations.yaml': `version: 1\nidentities: ["${gone[revision]}"]\n`,
      'partners.yaml': `revision: ${revision}\n`,
    };
    mkdirSync(join(mount, `..${revision}`), { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(mount, `..${revision}`, name), text);
    }
  }
  symlinkSync('..a', join(mount, '..data'));
  for (const name of [
    ...['countersign.yaml', 'p.yaml', 'corp.jwks.json', 'bundle.json'],
    ...['posture.yaml', 'revocations.yaml', 'partners.yaml'],
  ]) {
    symlinkSync(join('..data', name), join(mount, name));
  }
  const bearer = async (revision: 'a' | 'b', sub: string) => ({
    authorization: `Bearer ${await issuers[revision].sign({ sub, revision }, { typ: 'JWT' })}`,
  });
  const svidOf = async (revision: 'a' | 'b') =>
    issuers[revision].sign({ iss: 'https://spire', sub: svid, revision }, { typ: 'JWT' });
  return {
    configFile: join(mount, 'countersign.yaml'),
    mount,
    probes: [
      {
        name: 'policy, facts, data and posture',
        given: { path: '/peer', principal: one },
        allowed: ['permit of-a', 'permit of-b'],
      },
      {
        name: 'revocations of a',
        given: { path: '/peer', principal: gone.a },
        allowed: ['deny revoked', 'permit of-b'],
      },
      {
        name: 'revocations of b',
        given: { path: '/peer', principal: gone.b },
        allowed: ['permit of-a', 'deny revoked'],
      },
      {
        name: 'keys of a',
        given: { path: '/token', headers: await bearer('a', 'robot') },
        allowed: ['permit of-a-token', 'deny token_key_unknown'],
      },
      {
        name: 'keys of b',
        given: { path: '/token', headers: await bearer('b', 'robot') },
        allowed: ['deny token_key_unknown', 'permit of-b-token'],
      },
      {
        name: 'bundle of a',
        given: { path: '/token', headers: { authorization: `Bearer ${await svidOf('a')}` } },
        allowed: ['permit of-a-token', 'deny token_key_unknown'],
      },
      {
        name: 'bundle of b',
        given: { path: '/token', headers: { authorization: `Bearer ${await svidOf('b')}` } },
        allowed: ['deny token_key_unknown', 'permit of-b-token'],
      },
    ],
  };
}

/** Points `..data` at a revision at once, as the kubelet does (`AtomicWriter`). */
export function swap(mount: string, revision: string): void {
  symlinkSync(`..${revision}`, join(mount, '..data_tmp'));
  renameSync(join(mount, '..data_tmp'), join(mount, '..data'));
}

/** `node -e swapScript MOUNT EVERY_MS`: swaps the revisions for ever. */
export const swapScript = `
const { renameSync, symlinkSync } = require('node:fs');
const [mount, everyMs] = process.argv.slice(1);
let now = 'a';
setInterval(() => {
  now = now === 'a' ? 'b' : 'a';
  symlinkSync('..' + now, mount + '/..data_tmp');
  renameSync(mount + '/..data_tmp', mount + '/..data');
}, Number(everyMs));
`;

let sent = 0;

/** The CheckRequest of a probe, as Envoy would send it for a request of its own. */
export function probeBytes({ given }: Probe): Uint8Array {
  sent += 1;
  return encodeCheckRequest(checkRequest({ ...given, id: `r-${sent}` }));
}

/** `permit RULE` or `deny CODE`, from the answer alone. */
export function outcomeOf(answer: Uint8Array): string {
  const decoded = decodeCheckResponse(answer);
  if (!decoded.ok) return `unreadable: ${decoded.reason}`;
  const { status, ok, denied } = decoded.value;
  const rule = ok?.headers.find(({ key }) => key === 'x-countersign-rule')?.value;
  if (status === 0) return ok === undefined ? 'empty' : `permit ${rule}`;
  return `deny ${/"code":"([a-z_]+)"/.exec(denied?.body ?? '')?.[1]}`;
}
