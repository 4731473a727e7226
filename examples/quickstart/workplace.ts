import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../envoy/find-envoy.js';
import { createIssuer, type Issuer } from './issuer.js';
import { type Authority, createAuthority } from './pki.js';

/** A folder with everything the quick start runs on: configuration, keys, certificates. */
export interface Workplace {
  readonly folder: string;
  readonly configFile: string;
  readonly ports: Ports;
  readonly authority: Authority;
  readonly corp: Issuer;
  readonly approvals: Issuer;
  /** Issues a certificate for a SPIFFE id and writes it to certs/NAME.pem and certs/NAME.key. */
  addCaller(name: string, spiffeId: string): Promise<void>;
  path(...parts: readonly string[]): string;
  write(path: string, text: string): void;
  remove(): void;
}

export interface Ports {
  readonly ingress: number;
  readonly envoyAdmin: number;
  readonly app: number;
  readonly countersign: number;
  readonly admin: number;
}

export async function createWorkplace(): Promise<Workplace> {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-'));
  cpSync(join(root, 'examples', 'quickstart'), folder, {
    recursive: true,
    filter: (path) => !path.endsWith('.ts'),
  });
  const ports = await freePorts();
  const path = (...parts: readonly string[]) => join(folder, ...parts);
  const write = (name: string, text: string) => writeFileSync(path(name), text, { mode: 0o600 });
  const authority = await createAuthority('prod.example');
  const corp = await createIssuer('https://idp.example', 'corp-1');
  const approvals = await createIssuer('https://approvals.example', 'board-1');
  for (const name of ['certs', 'keys', 'tokens']) mkdirSync(path(name));
  write('certs/ca.pem', authority.certificatePem);
  write('keys/corp.jwks.json', JSON.stringify(corp.jwks));
  write('keys/approvals.jwks.json', JSON.stringify(approvals.jwks));
  write('keys/approvals.key.pem', await approvals.privatePem());
  const server = await authority.issue({
    uris: ['spiffe://prod.example/ns/edge/sa/gateway'],
    dns: ['localhost'],
    ips: ['127.0.0.1'],
  });
  write('certs/server.pem', server.certificatePem);
  write('certs/server.key', server.keyPem);
  // Longer than usual: the machines that show and test this are busy with other things as well.
  const config = readFileSync(path('countersign.yaml'), 'utf8')
    .replace('version: 1\n', 'version: 1\ndeadline: 900ms\n')
    .replace('listen: 127.0.0.1:9191', `listen: 127.0.0.1:${ports.countersign}`)
    .replace('admin: 127.0.0.1:9192', `admin: 127.0.0.1:${ports.admin}`);
  write('countersign.yaml', config);
  const posture = readFileSync(path('data/posture.yaml'), 'utf8');
  write(
    'data/posture.yaml',
    posture.replace(/updatedAt: .*/, `updatedAt: ${new Date().toISOString()}`),
  );
  return {
    folder,
    configFile: path('countersign.yaml'),
    ports,
    authority,
    corp,
    approvals,
    addCaller: async (name, spiffeId) => {
      const issued = await authority.issue({ uris: [spiffeId] });
      write(`certs/${name}.pem`, issued.certificatePem);
      write(`certs/${name}.key`, issued.keyPem);
    },
    path,
    write,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

async function freePorts(): Promise<Ports> {
  const [ingress = 0, envoyAdmin = 0, app = 0, countersign = 0, admin = 0] = await reserve(5);
  return { ingress, envoyAdmin, app, countersign, admin };
}

/** Ports of loopback that nobody listens on now. */
export async function reserve(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
