import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { rmSync } from 'node:fs';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import { decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import { type Authority, createAuthority } from '../../examples/quickstart/pki.js';
import { ownProtos } from './official-protos.js';

interface JwtKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** The keys of one trust domain. The first JWT key signs; all of them are in the bundle. */
export interface TrustDomain {
  readonly name: string;
  readonly jwtKeys: readonly JwtKey[];
  readonly authorities: readonly Authority[];
}

/** An identity that the workloads of this agent may use (a registration entry). */
export interface Entry {
  readonly id: string;
  readonly hint?: string;
}

/** All that an agent knows at one time; every change is told to the open streams. */
export interface AgentState {
  readonly own: TrustDomain;
  readonly federated: readonly TrustDomain[];
  readonly entries: readonly Entry[];
  /** Whether the caller's process can be attested. */
  readonly isAttested: boolean;
}

/** A SPIFFE agent with the wire behaviour of SPIRE's (REAL.md A), on a unix socket. */
export interface SpiffeAgent {
  readonly address: string;
  readonly state: AgentState;
  /** Calls so far, by method, refused ones included. */
  readonly calls: ReadonlyMap<string, number>;
  start(): Promise<void>;
  stop(): void;
  update(changes: Partial<AgentState>): void;
  /** Puts the same state on the wire again, with these bundles in the place of the real ones. */
  sendRaw(method: BundleMethod, bundles: Readonly<Record<string, Uint8Array>>): void;
}

type BundleMethod = 'FetchJWTBundles' | 'FetchX509Bundles';

let keyNumber = 0;

export function newJwtKey(): JwtKey {
  keyNumber += 1;
  return { kid: `jwt-${keyNumber}`, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
}

export async function newTrustDomain(name: string): Promise<TrustDomain> {
  return { name, jwtKeys: [newJwtKey()], authorities: [await createAuthority(name)] };
}

/** A JWT-SVID as SPIRE signs it: `typ` and `kid` set, one audience as a plain text. */
export function signSvid(
  { jwtKeys: [key] }: TrustDomain,
  sub: string,
  aud: string | string[],
  changes: JWTPayload = {},
): Promise<string> {
  if (key === undefined) throw new Error('the trust domain has no key to sign with');
  const iat = Math.floor(Date.now() / 1000);
  return new SignJWT({ sub, aud, iat, exp: iat + 300, ...changes })
    .setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'JWT' })
    .sign(key.privateKey);
}

/** A standard JWK Set: SPIRE leaves the SPIFFE parameters out, `use` among them. */
export function jwksOf({ jwtKeys }: TrustDomain): Buffer {
  const keys = jwtKeys.map(({ kid, publicKey }) => ({
    ...publicKey.export({ format: 'jwk' }),
    kid,
  }));
  return Buffer.from(JSON.stringify({ keys }));
}

export function authoritiesOf({ authorities }: TrustDomain): Buffer {
  return Buffer.concat(authorities.map(({ certificate }) => Buffer.from(certificate.rawData)));
}

class Refused extends Error {
  readonly code: status;
  constructor(code: status, details: string) {
    super(details);
    this.code = code;
  }
}

const protos = ownProtos();
const encode = (name: string) => (value: object) => {
  const type = protos.lookupType(name);
  return Buffer.from(type.encode(type.fromObject(value)).finish());
};
const decode = (name: string) => (bytes: Buffer) => {
  const type = protos.lookupType(name);
  return type.toObject(type.decode(bytes), { defaults: true, arrays: true });
};
const method = (name: string, message: string, isStream: boolean) => ({
  path: `/SpiffeWorkloadAPI/${name}`,
  requestStream: false,
  responseStream: isStream,
  requestSerialize: encode(`${message}Request`),
  requestDeserialize: decode(`${message}Request`),
  responseSerialize: encode(`${message}Response`),
  responseDeserialize: decode(`${message}Response`),
});

/** The service by this project's own proto file, for the agent and for clients in tests. */
export const workloadService = {
  FetchX509SVID: method('FetchX509SVID', 'X509SVID', true),
  FetchX509Bundles: method('FetchX509Bundles', 'X509Bundles', true),
  FetchJWTBundles: method('FetchJWTBundles', 'JWTBundles', true),
  FetchJWTSVID: method('FetchJWTSVID', 'JWTSVID', false),
  ValidateJWTSVID: method('ValidateJWTSVID', 'ValidateJWTSVID', false),
};

/** The trust domain that a caller with an identity may see: its own, and the federated ones. */
const seen = (state: AgentState) => [state.own, ...state.federated];

function admit(state: AgentState, metadata: Metadata): void {
  const header = metadata.get('workload.spiffe.io');
  if (header.length !== 1 || header[0] !== 'true') {
    throw new Refused(status.INVALID_ARGUMENT, 'security header missing from request');
  }
  if (!state.isAttested) throw new Refused(status.UNAVAILABLE, 'workload attestation failed');
}

function identified(state: AgentState): readonly Entry[] {
  if (state.entries.length > 0) return state.entries;
  throw new Refused(status.PERMISSION_DENIED, 'no identity issued');
}

function bundleMap(state: AgentState, read: (domain: TrustDomain) => Buffer) {
  return Object.fromEntries(seen(state).map((one) => [`spiffe://${one.name}`, read(one)]));
}

async function x509Svids(state: AgentState): Promise<object> {
  const [authority] = state.own.authorities;
  if (authority === undefined) throw new Refused(status.UNAVAILABLE, 'no authority');
  const svids = identified(state).map(async ({ id, hint }) => {
    const { certificate, keyPem } = await authority.issue({ uris: [id] });
    const key = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
    const shown = { x509_svid: Buffer.from(certificate.rawData), x509_svid_key: key };
    return { spiffe_id: id, ...shown, bundle: authoritiesOf(state.own), hint: hint ?? '' };
  });
  const others = state.federated.map((one) => [`spiffe://${one.name}`, authoritiesOf(one)]);
  return { svids: await Promise.all(svids), federated_bundles: Object.fromEntries(others) };
}

async function jwtSvids(state: AgentState, request: object): Promise<object> {
  const { audience, spiffe_id: wanted } = request as { audience: string[]; spiffe_id: string };
  if (audience.length === 0) {
    throw new Refused(status.INVALID_ARGUMENT, 'audience must be specified');
  }
  if (wanted !== '' && !wanted.startsWith('spiffe://')) {
    throw new Refused(status.INVALID_ARGUMENT, 'invalid requested SPIFFE ID');
  }
  const entries = state.entries.filter(({ id }) => wanted === '' || id === wanted);
  const aud = audience.length === 1 ? (audience[0] ?? '') : audience;
  const svids = identified({ ...state, entries }).map(async ({ id, hint }) => ({
    spiffe_id: id,
    svid: await signSvid(state.own, id, aud),
    hint: hint ?? '',
  }));
  return { svids: await Promise.all(svids) };
}

/** By jose alone, so that the agent's opinion is not this project's. */
async function validate(state: AgentState, request: object): Promise<object> {
  const { audience, svid } = request as { audience: string; svid: string };
  if (audience === '') throw new Refused(status.INVALID_ARGUMENT, 'audience must be specified');
  if (svid === '') throw new Refused(status.INVALID_ARGUMENT, 'svid must be specified');
  try {
    const { sub = '' } = decodeJwt(svid);
    const { kid } = decodeProtectedHeader(svid);
    const domain = seen(state).find(({ name }) => sub.startsWith(`spiffe://${name}/`));
    const key = domain?.jwtKeys.find((one) => one.kid === kid);
    if (key === undefined) throw new Error('no such key');
    const { payload } = await jwtVerify(svid, key.publicKey, { audience });
    return { spiffe_id: sub, claims: structOf(payload) };
  } catch {
    throw new Refused(status.INVALID_ARGUMENT, 'the JWT-SVID is not valid');
  }
}

function structOf(payload: object): object {
  const value = (one: unknown): object => {
    if (typeof one === 'string') return { string_value: one };
    if (typeof one === 'number') return { number_value: one };
    if (Array.isArray(one)) return { list_value: { values: one.map(value) } };
    return { null_value: 0 };
  };
  const fields = Object.entries(payload).map(([name, one]) => [name, value(one)]);
  return { fields: Object.fromEntries(fields) };
}

interface OpenStream {
  readonly name: string;
  /** Says the state, when it is another than this stream was told last. */
  tell(): Promise<void>;
}

/**
 * An agent that is not started yet.
 * @param socket path of its unix socket
 */
export function createSpiffeAgent(socket: string, first: AgentState): SpiffeAgent {
  let state = first;
  let server: Server | undefined;
  const calls = new Map<string, number>();
  const streams = new Map<ServerWritableStream<object, object>, OpenStream>();
  const count = (name: string) => calls.set(name, (calls.get(name) ?? 0) + 1);

  const streaming = (
    name: string,
    read: (state: AgentState) => object | Promise<object>,
  ): handleServerStreamingCall<object, object> => {
    return (call) => {
      count(name);
      let told: string | undefined;
      const tell = async () => {
        try {
          admit(state, call.metadata);
          identified(state);
          const version = JSON.stringify([state.entries, ...seen(state).flatMap(versionOf)]);
          if (version === told) return;
          told = version;
          call.write(await read(state));
        } catch (error) {
          streams.delete(call);
          call.emit('error', asStatus(error));
        }
      };
      streams.set(call, { name, tell });
      call.on('cancelled', () => streams.delete(call));
      void tell();
    };
  };
  const unary = (
    name: string,
    answer: (state: AgentState, request: object) => Promise<object>,
  ): handleUnaryCall<object, object> => {
    return (call, callback) => {
      count(name);
      const answered = async () => {
        admit(state, call.metadata);
        return await answer(state, call.request);
      };
      answered().then(
        (value) => callback(null, value),
        (error: unknown) => callback(asStatus(error)),
      );
    };
  };

  return {
    address: `unix://${socket}`,
    get state() {
      return state;
    },
    calls,
    async start() {
      rmSync(socket, { force: true });
      const started = new Server();
      started.addService(workloadService, {
        FetchX509SVID: streaming('FetchX509SVID', x509Svids),
        FetchX509Bundles: streaming('FetchX509Bundles', (now) => ({
          bundles: bundleMap(now, authoritiesOf),
        })),
        FetchJWTBundles: streaming('FetchJWTBundles', (now) => ({
          bundles: bundleMap(now, jwksOf),
        })),
        FetchJWTSVID: unary('FetchJWTSVID', jwtSvids),
        ValidateJWTSVID: unary('ValidateJWTSVID', validate),
      });
      await new Promise<void>((resolve, reject) => {
        const done = (error: Error | null) => (error === null ? resolve() : reject(error));
        started.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), done);
      });
      server = started;
    },
    stop() {
      server?.forceShutdown();
      server = undefined;
      streams.clear();
    },
    update(changes) {
      state = { ...state, ...changes };
      for (const { tell } of [...streams.values()]) void tell();
    },
    sendRaw(name, bundles) {
      for (const [call, stream] of streams) if (stream.name === name) call.write({ bundles });
    },
  };
}

function versionOf(domain: TrustDomain): readonly string[] {
  return [domain.name, String(jwksOf(domain)), authoritiesOf(domain).toString('base64')];
}

function asStatus(error: unknown) {
  const code = error instanceof Refused ? error.code : status.INTERNAL;
  const details = error instanceof Error ? error.message : 'unknown';
  return { code, details, metadata: new Metadata() };
}
