import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { root } from '../../../envoy/find-envoy.js';
import { createIssuer, type Issuer } from '../../../examples/quickstart/issuer.js';
import { createAuthority, type Issued } from '../../../examples/quickstart/pki.js';
import { type Sidecar, startSidecar } from '../../../examples/quickstart/sidecar.js';
import { reserve } from '../../../examples/quickstart/workplace.js';
import { cluster } from '../cluster.js';
import { installCrds } from '../crds.js';
import { type Manifest, manifestsOf } from '../kubectl.js';
import { eventually } from '../program.js';
import { ports, type Workload } from './workload.js';

/** What the workloads of one test file share: identities, a policy, and running sidecars. */
export interface Mesh {
  readonly folder: string;
  readonly certificates: string;
  /** Where the sidecar listens, and the port of the ServiceEntry before it. */
  readonly port: number;
  readonly entryPort: number;
  readonly socket: string;
  readonly issuer: Issuer;
  readonly planner: Issued;
  readonly stranger: Issued;
  startCountersign(listen: string, settings?: string): Promise<Sidecar>;
  /** Manifests of k8s/istio with this run's ports and socket, and nothing else changed. */
  own(file: string): readonly Manifest[];
}

const policy = `
version: 1
policy: orders
principals:
  planner-token: { jwt: { issuer: corp, subject: planner } }
  planner: { spiffe: "spiffe://cluster.local/ns/default/sa/planner" }
rules:
  - { id: by-token, effect: permit, principals: [planner-token], methods: [GET], paths: ["/orders/**"] }
  - { id: by-certificate, effect: permit, principals: [planner], methods: [GET], paths: ["/orders/**"] }
  - { id: line, effect: permit, principals: [anyone], tcp: { ports: [${ports.tcpPermitted}] } }
`;

export async function createMesh(name: string): Promise<Mesh> {
  const folder = join(cluster().folder, name);
  mkdirSync(join(folder, 'policies'), { recursive: true });
  const write = (file: string, text: string) => writeFileSync(join(folder, file), text);
  const authority = await createAuthority('cluster.local');
  const server = await authority.issue({ uris: ['spiffe://cluster.local/ns/default/sa/orders'] });
  write('ca.pem', authority.certificatePem);
  write('cluster.local.json', bundleOf(authority.certificatePem));
  write('server.pem', server.certificatePem);
  write('server.key', server.keyPem);
  const issuer = await createIssuer('https://idp.example', 'corp-1');
  write('corp.jwks.json', JSON.stringify(issuer.jwks));
  write('policies/orders.yaml', policy);
  const [port = 0, entryPort = 0] = await reserve(2);
  const socket = join(folder, 'authz.sock');
  await installCrds(cluster().kubectl);
  return {
    folder,
    certificates: folder,
    port,
    entryPort,
    socket,
    issuer,
    planner: await authority.issue({ uris: ['spiffe://cluster.local/ns/default/sa/planner'] }),
    stranger: await authority.issue({ uris: ['spiffe://cluster.local/ns/default/sa/stranger'] }),
    startCountersign: async (listen, settings = '') => {
      const [admin = 0] = await reserve(1);
      const file = join(folder, `countersign-${admin}.yaml`);
      writeFileSync(file, config(listen, admin, settings));
      return startSidecar(file, admin);
    },
    own: (file) => {
      const text = readFileSync(join(root, 'k8s', 'istio', file), 'utf8');
      return manifestsOf(
        text
          .replaceAll('9190', String(entryPort))
          .replaceAll('9191', String(port))
          .replaceAll('path: /run/countersign/authz.sock', `path: ${socket}`),
      );
    },
  };
}

/** A SPIFFE bundle document with one X.509 authority (SPIFFE Trust Domain and Bundle §4). */
function bundleOf(pem: string): string {
  const { publicKey, raw } = new X509Certificate(pem);
  const jwk = publicKey.export({ format: 'jwk' });
  return JSON.stringify({
    keys: [{ ...jwk, use: 'x509-svid', x5c: [raw.toString('base64')] }],
  });
}

function config(listen: string, admin: number, settings: string): string {
  return `
version: 1
listen: ${listen}
admin: 127.0.0.1:${admin}
deadline: 1s
trust:
  spiffe:
    trustDomains: [cluster.local]
    ${settings}
  jwt:
    - { name: corp, issuer: "https://idp.example", audiences: [edge], algorithms: [ES256], jwks: { file: corp.jwks.json } }
policies: [policies/]
`;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Ask {
  readonly path: string;
  readonly token?: string;
  /** The client certificate: the request goes to the port with mutual TLS. */
  readonly as?: Issued;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a GET to a workload's Envoy on a connection of its own. */
export function ask({ ip }: Workload, { path, token, as, headers }: Ask): Promise<Answer> {
  const options = {
    host: ip,
    path,
    agent: false as const,
    headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
  };
  return new Promise((resolve, reject) => {
    const request =
      as === undefined
        ? httpRequest({ ...options, port: ports.http })
        : httpsRequest({
            ...options,
            port: ports.https,
            cert: as.certificatePem,
            key: as.keyPem,
            // The certificate has a SPIFFE id and no host name.
            rejectUnauthorized: false,
          });
    request.once('response', (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += String(chunk);
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    request.once('error', reject);
    request.setTimeout(10_000, () => request.destroy(new Error('no answer within 10 s')));
    request.end();
  });
}

/** Waits until a request is permitted: the sidecar is up, and warm. */
export async function permits(workload: Workload, token: string): Promise<void> {
  await eventually(
    async () => (await ask(workload, { path: '/orders/0', token })).status === 200 || undefined,
    () => 'no request is permitted',
  );
}

/** Sends bytes that are no HTTP of Envoy's, and gives what comes back before the end. */
export function sendBytes({ ip }: Workload, port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = '';
    const socket = connect(port, ip, () => socket.write(bytes));
    socket.on('data', (chunk) => {
      heard += String(chunk);
    });
    socket.once('close', () => resolve(heard));
    socket.once('error', (error) =>
      'code' in error && error.code === 'ECONNRESET' ? resolve(heard) : reject(error),
    );
    socket.setTimeout(5_000, () => socket.destroy(new Error('neither an answer nor an end')));
  });
}

/** `permit RULE` or `deny STATUS CODE`, by the answer and the sidecar's log together. */
export async function told(sidecar: Sidecar, { status, body }: Answer): Promise<string> {
  const id = /"decision":"([^"]+)"/.exec(body)?.[1];
  if (id === undefined) return `no decision, ${status}`;
  const { effect, code, rule = '' } = await sidecar.decision(id);
  return effect === 'permit' && status === 200 ? `permit ${rule}` : `${effect} ${status} ${code}`;
}

/** How many decisions the sidecar has logged. */
export function decisionsOf(sidecar: Sidecar): number {
  return sidecar.output().stdout.split('"msg":"decision"').length - 1;
}

/** The same once no more come: a log line takes its time from process to process. */
export async function settledDecisions(sidecar: Sidecar): Promise<number> {
  let count = decisionsOf(sidecar);
  for (let quietMs = 0; quietMs < 500; quietMs += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    const now = decisionsOf(sidecar);
    if (now !== count) quietMs = 0;
    count = now;
  }
  return count;
}
