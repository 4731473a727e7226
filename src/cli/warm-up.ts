import { judge, type Snapshot } from '../check.js';
import { encodeCheckRequest } from '../wire/external-auth.js';

/** Often enough that V8 has compiled what every Check goes through. */
const times = 50;

/**
 * Judges a made-up request before the first real one comes: modules, certificates and code are then
 * there, and the first Check keeps its deadline on a busy machine as well. Nothing of it is answered,
 * recorded or spent; its caller is of a trust domain that nobody has.
 */
export async function warmUp(snapshot: Snapshot, nowMs: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    try {
      await judge(madeUp, snapshot, nowMs, {});
    } catch {
      // A fault is met again by the first real Check, and denied there.
    }
  }
}

/** A self-signed certificate of spiffe://warm.invalid/up; its key was thrown away. */
const certificate =
  'MIIBrTCCAVOgAwIBAgIUOb+I2nziomvIjIdjOJs8TXkL/N0wCgYIKoZIzj0EAwIwEjEQMA4GA1UECgwHd2Fy' +
  'bS11cDAeFw0yNjExMjUwMDAxMjJaFw0yNjExMjYwMDAxMjJaMBIxEDAOBgNVBAoMB3dhcm0tdXAwWTATBgcq' +
  'hkjOPQIBBggqhkjOPQMBBwNCAATFevxf3IYOfgRTXdOncsAkNs3gZAdI/p9u+7VVB+XiUKHf+zhjksCg65Ii' +
  'kW0luSM4xus/0xh6upY7XuglFoXao4GGMIGDMB0GA1UdDgQWBBRBS3S/+IcDO8S8Z7ae/jthKjZxtTAfBgNV' +
  'HSMEGDAWgBRBS3S/+IcDO8S8Z7ae/jthKjZxtTAjBgNVHREEHDAahhhzcGlmZmU6Ly93YXJtLmludmFsaWQv' +
  'dXAwDgYDVR0PAQH/BAQDAgeAMAwGA1UdEwEB/wQCMAAwCgYIKoZIzj0EAwIDSAAwRQIgcjeK+8B0/Ba9elqq' +
  'H54ej17cXRXISeuO3TmuB0pZebcCIQCcyEov+ByaWT3KU8fJ9adz1kDDc7XPSqB3HcMz7wJLNA==';

const lines = {
  ':method': 'GET',
  ':path': '/warm/up?x=1',
  ':authority': 'warm.invalid',
  ':scheme': 'https',
  'user-agent': 'warm-up',
  'x-request-id': '00000000-0000-0000-0000-000000000000',
};

const socket = {
  kind: 'socket',
  protocol: 0,
  address: '127.0.0.1',
  port: 1,
  namedPort: undefined,
  resolverName: '',
  ipv4Compat: false,
  networkNamespaceFilepath: '',
} as const;
const peer = { address: socket, service: '', labels: new Map<string, string>() };

const madeUp = encodeCheckRequest({
  attributes: {
    source: {
      ...peer,
      principal: 'spiffe://warm.invalid/up',
      certificate: `-----BEGIN CERTIFICATE-----\n${certificate}\n-----END CERTIFICATE-----\n`,
    },
    destination: { ...peer, principal: '', certificate: '' },
    request: {
      time: { seconds: 1, nanos: 0 },
      http: {
        id: '1',
        method: 'GET',
        headers: new Map(),
        path: lines[':path'],
        host: lines[':authority'],
        scheme: lines[':scheme'],
        query: '',
        fragment: '',
        size: 0,
        protocol: 'HTTP/2',
        body: '',
        rawBody: new Uint8Array(0),
        headerMap: Object.entries(lines).map(([key, rawValue]) => ({ key, value: '', rawValue })),
      },
    },
    contextExtensions: new Map(),
    metadataContext: undefined,
    tlsSession: undefined,
    routeMetadataContext: undefined,
  },
});
