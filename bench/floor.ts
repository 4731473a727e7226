import { startGrpcJsServer } from '../src/server/grpc-js-server.js';

/** The floor: a bare grpc-js server that decides nothing, bytes in, constant bytes out. */
const port = Number(process.argv[2]);
const constant = Uint8Array.of(0x0a, 0, 0x1a, 0);
await startGrpcJsServer(async () => constant, {
  address: { kind: 'tcp', host: '127.0.0.1', port },
  maxMessageBytes: 8 * 1024 * 1024,
  lastResort: constant,
  tls: undefined,
});
process.stdout.write('ready\n');
