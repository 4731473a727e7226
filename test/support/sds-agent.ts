import { rmSync } from 'node:fs';
import { type handleBidiStreamingCall, Server, ServerCredentials } from '@grpc/grpc-js';
import type { Issued } from '../../examples/quickstart/pki.js';
import { officialProtos } from './official-protos.js';

const protos = officialProtos([
  'envoy/service/discovery/v3/discovery.proto',
  'envoy/extensions/transport_sockets/tls/v3/secret.proto',
  'envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto',
]);
const tls = 'envoy.extensions.transport_sockets.tls.v3';
const discovery = 'envoy.service.discovery.v3';

function bytesOf(name: string, value: object): Buffer {
  const type = protos.lookupType(name);
  return Buffer.from(type.encode(type.fromObject(value)).finish());
}

const any = (name: string, value: object) => ({
  type_url: `type.googleapis.com/${name}`,
  value: bytesOf(name, value),
});

/**
 * The part of a SPIFFE agent that Envoy speaks to (SDS), as SPIRE answers it: `default` is the
 * workload's SVID, `ROOTCA` its trust domain's bundle for Envoy's SPIFFE validator.
 */
export async function startSdsAgent(
  socket: string,
  trustDomain: string,
  bundlePem: string,
  svid: Issued,
): Promise<{ readonly asked: string[]; stop(): void }> {
  const asked: string[] = [];
  const secrets: Readonly<Record<string, object>> = {
    default: {
      tls_certificate: {
        certificate_chain: { inline_bytes: Buffer.from(svid.certificatePem) },
        private_key: { inline_bytes: Buffer.from(svid.keyPem) },
      },
    },
    ROOTCA: {
      validation_context: {
        custom_validator_config: {
          name: 'envoy.tls.cert_validator.spiffe',
          typed_config: any(`${tls}.SPIFFECertValidatorConfig`, {
            trust_domains: [
              { name: trustDomain, trust_bundle: { inline_bytes: Buffer.from(bundlePem) } },
            ],
          }),
        },
      },
    },
  };
  const stream: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on('data', (bytes: Buffer) => {
      const request = protos.lookupType(`${discovery}.DiscoveryRequest`).decode(bytes);
      const { resource_names: names = [], version_info: version } = request as unknown as {
        resource_names?: string[];
        version_info?: string;
      };
      if (version === '1') return;
      asked.push(...names);
      const resources = names.map((name) => any(`${tls}.Secret`, { name, ...secrets[name] }));
      const type = `type.googleapis.com/${tls}.Secret`;
      const answer = { version_info: '1', nonce: '1', type_url: type, resources };
      call.write(bytesOf(`${discovery}.DiscoveryResponse`, answer));
    });
    call.on('end', () => call.end());
  };
  rmSync(socket, { force: true });
  const server = new Server();
  const same = (value: Buffer) => value;
  const method = {
    path: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService({ StreamSecrets: method }, { StreamSecrets: stream });
  await new Promise<void>((resolve, reject) => {
    const done = (error: Error | null) => (error === null ? resolve() : reject(error));
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), done);
  });
  return { asked, stop: () => server.forceShutdown() };
}
