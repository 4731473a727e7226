import { encodeCheckRequest } from '../src/wire/external-auth.js';
import type { Question } from './connection.js';
import type { Questions } from './load.js';
import { pathsAcross, probePath } from './policy-text.js';
import { type Algorithm, type BenchPlace, callerId } from './workplace.js';

/** What a caller asks; the rest is as Envoy sends it with the configuration of `envoy/`. */
interface Call {
  readonly want: Question['want'];
  readonly method: string;
  readonly path: string;
  readonly token?: string;
  readonly certificatePem?: string;
  readonly body?: string;
  /** raw: `header_map`, as our configuration asks Envoy for; joined: the `headers` of its default. */
  readonly encoding?: Encoding;
}

type Encoding = 'raw' | 'joined';

/** Eight digits that differ from request to request stand here. */
const stamp = '@@@@@@@@';
const host = 'api.prod.example';

/** One of so many questions has to be denied, so that a server that permits all voids the run. */
const denyEvery = 16;

function question(call: Call): Question {
  const message = Buffer.from(encodeCheckRequest(checkRequest(call)));
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  message.copy(body, 5);
  const stamps: number[] = [];
  for (let at = body.indexOf(stamp); at >= 0; at = body.indexOf(stamp, at + stamp.length)) {
    stamps.push(at);
  }
  return { body, stamps, want: call.want };
}

function checkRequest(call: Call) {
  const { method, path, token, certificatePem, body = '', encoding = 'raw' } = call;
  const lines: Readonly<Record<string, string>> = {
    ':authority': host,
    ':method': method,
    ':path': path,
    ':scheme': 'https',
    'user-agent': 'orders-client/3.14 (linux; amd64)',
    accept: 'application/json',
    'accept-encoding': 'gzip, deflate, br',
    ...(body === '' ? {} : { 'content-type': 'application/json' }),
    ...(body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    'x-forwarded-for': '10.1.2.3',
    'x-forwarded-proto': 'https',
    'x-request-id': `7d3c1f0a-5b1e-4c9e-9f3a-0000${stamp}`,
    traceparent: `00-4bf92f3577b34da6a3ce929d${stamp}-00f067aa0ba902b7-01`,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const socket = { protocol: 0, namedPort: undefined, resolverName: '', ipv4Compat: false };
  const address = (ip: string, port: number) => ({
    ...socket,
    kind: 'socket' as const,
    address: ip,
    port,
    networkNamespaceFilepath: '',
  });
  const peer = { service: '', labels: new Map<string, string>() };
  return {
    attributes: {
      source: {
        ...peer,
        address: address('10.1.2.3', 50_000),
        principal: certificatePem === undefined ? '' : callerId,
        certificate: certificatePem === undefined ? '' : encodeURIComponent(certificatePem),
      },
      destination: {
        ...peer,
        address: address('10.0.0.1', 443),
        principal: 'spiffe://prod.example/ns/edge/sa/gateway',
        certificate: '',
      },
      request: {
        time: { seconds: Math.floor(Date.now() / 1000), nanos: 0 },
        http: {
          id: `12610282425${stamp}`,
          method,
          headers: new Map(encoding === 'raw' ? [] : Object.entries(lines)),
          path,
          host,
          scheme: 'https',
          query: '',
          fragment: '',
          size: Buffer.byteLength(body),
          protocol: 'HTTP/2',
          body: '',
          rawBody: Buffer.from(body),
          headerMap: encoding === 'raw' ? rawLines(lines) : undefined,
        },
      },
      contextExtensions: new Map<string, string>(),
      metadataContext: undefined,
      tlsSession: { sni: host },
      routeMetadataContext: undefined,
    },
  };
}

const rawLines = (lines: Readonly<Record<string, string>>) =>
  Object.entries(lines).map(([key, value]) => ({
    key,
    value: '',
    rawValue: Buffer.from(value).toString('latin1'),
  }));

/** So many questions by `call`, every sixteenth of them one that is denied. */
function mixed(count: number, call: (index: number, isDenied: boolean) => Call): Questions {
  const list = Array.from({ length: count }, (_, index) =>
    question(call(index, index % denyEvery === denyEvery - 1)),
  );
  return { list, isOnce: false };
}

const wanted = (isDenied: boolean) => (isDenied ? 'deny' : 'permit');

/** A workload with its certificate reads a payment; deleting one is denied. */
export function spiffeQuestions(
  { certificatePem }: BenchPlace,
  encoding: Encoding = 'raw',
): Questions {
  return mixed(denyEvery, (_, isDenied) => ({
    want: wanted(isDenied),
    method: isDenied ? 'DELETE' : 'GET',
    path: `/payments/p-${stamp}`,
    certificatePem,
    encoding,
  }));
}

/** Each question is about another rule, as far as the policy has them. */
export function acrossRules({ certificatePem }: BenchPlace, rules: number): Questions {
  const paths = pathsAcross(rules, 512);
  return mixed(paths.length, (index, isDenied) => ({
    want: wanted(isDenied),
    method: isDenied ? 'DELETE' : 'GET',
    path: `${paths[index]}o-${stamp}`,
    certificatePem,
  }));
}

/** Permitted by one of two policies, denied by the other. */
export function probeQuestion({ certificatePem }: BenchPlace): Question {
  return question({ want: 'either', method: 'GET', path: probePath, certificatePem });
}

const agentClaims = (number: number) => ({
  sub: `agent-${String(number).padStart(5, '0')}`,
  kind: 'agent',
  tenant: 'acme',
  customers: ['c-15', 'c-16', 'c-17', 'c-18'],
  roles: ['reader', 'support'],
});

/** An agent reads logs; `tokens` different agents in turn. Writing logs is denied. */
export function tokenQuestions(
  place: BenchPlace,
  tokens: number,
  encoding: Encoding = 'raw',
): Questions {
  const signed = Array.from({ length: tokens }, (_, index) =>
    place.token('ES256', agentClaims(index)),
  );
  return mixed(Math.max(tokens, denyEvery), (index, isDenied) =>
    logsCall(signed[index % tokens], isDenied, encoding),
  );
}

/** Every question with a token that was never seen before. */
export function newTokens(
  place: BenchPlace,
  algorithm: Algorithm,
  count: number,
  encoding: Encoding = 'raw',
): Questions {
  const { list } = mixed(count, (index, isDenied) =>
    logsCall(place.token(algorithm, agentClaims(index % 4096)), isDenied, encoding),
  );
  return { list, isOnce: true };
}

function logsCall(token: string | undefined, isDenied: boolean, encoding?: Encoding): Call {
  if (token === undefined) throw new Error('a token is missing');
  return {
    want: wanted(isDenied),
    method: isDenied ? 'POST' : 'GET',
    path: `/deployments/web-${stamp}/logs`,
    token,
    ...(encoding === undefined ? {} : { encoding }),
  };
}

/** CEL over claims, captures and facts; a customer the token does not name is denied. */
export function celQuestions(place: BenchPlace): Questions {
  const token = place.token('ES256', agentClaims(7));
  return mixed(denyEvery, (_, isDenied) => ({
    want: wanted(isDenied),
    method: 'GET',
    path: `/tenants/acme/customers/${isDenied ? 'c-99' : 'c-17'}`,
    token,
  }));
}

/** An MCP tool call of 2 KiB; another tool is denied. */
export function mcpQuestions(place: BenchPlace): Questions {
  const token = place.token('ES256', agentClaims(7));
  const bodyBytes = 2048;
  return mixed(denyEvery, (_, isDenied) => {
    const name = isDenied ? 'delete_customer' : 'get_customer';
    const message = (note: string) =>
      JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name, arguments: { tenant: 'acme', customer_id: `c-${stamp}`, note } },
      });
    const note = 'n'.repeat(bodyBytes - message('').length);
    return { want: wanted(isDenied), method: 'POST', path: '/mcp', token, body: message(note) };
  });
}
