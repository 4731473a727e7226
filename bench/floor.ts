import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';

/**
 * The floor: a bare grpc-js server that decides nothing. Bytes in, constant bytes out: the shortest
 * permit there is, four bytes, where a real answer has about 300. Written as anyone would write it.
 */
const answer = Buffer.of(0x0a, 0, 0x1a, 0);
const bytes = (value: Buffer) => value;

const server = new Server();
server.addService(
  {
    Check: {
      path: '/envoy.service.auth.v3.Authorization/Check',
      requestStream: false,
      responseStream: false,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  },
  { Check: (_call: unknown, reply: sendUnaryData<Buffer>) => reply(null, answer) },
);
server.bindAsync(process.argv[2] ?? '', ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.stdout.write('ready\n');
});
