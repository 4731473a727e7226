import type { Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { answerCheck } from '../../src/server/answer-check.js';
import { doorOptions, openDoor } from '../../src/server/door.js';
import { createHealth, type Health } from '../../src/server/health.js';
import {
  type CheckHandler,
  checkPath,
  healthCheckPath,
  healthWatchPath,
  type Listener,
  maxConcurrentStreams,
  type ServerOptions,
} from '../../src/server/listener.js';
import { decodeHealthRequest, encodeHealthResponse } from '../../src/wire/health.js';

const bytes = (value: Uint8Array): Buffer =>
  Buffer.from(value.buffer, value.byteOffset, value.byteLength);
const method = (path: string, responseStream: boolean) => ({
  path,
  requestStream: false,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: (value: Buffer): Uint8Array => value,
  responseSerialize: bytes,
  responseDeserialize: (value: Buffer): Uint8Array => value,
});

/**
 * grpc-js ends a call whose message is above its own limit with an error. It is let read this many
 * times our limit, so that a message too long for us is answered with a deny.
 */
const readAhead = 4;

/** The gRPC server on grpc-js: it takes bytes and gives bytes, so no decoding happens outside of us. */
export async function startGrpcJsServer(
  handle: CheckHandler,
  options: ServerOptions,
): Promise<Listener> {
  const health = createHealth();
  const server = new Server({
    'grpc.max_receive_message_length': readAhead * options.maxMessageBytes,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': maxConcurrentStreams,
  });
  server.addService({ Check: method(checkPath, false) }, { Check: answer(handle, options) });
  addHealth(server, health);
  const connections = server.createConnectionInjector(createCredentials(options));
  const take = (socket: Socket) => connections.injectConnection(socket);
  const door = options.address && (await openDoor(options.address, doorOptions(options), take));
  return {
    door,
    take,
    setServing: (isServing) => health.setServing(isServing),
    stop(graceMs) {
      door?.close();
      health.close();
      return stop(server, graceMs);
    },
  };
}

function answer(handle: CheckHandler, options: ServerOptions) {
  return (call: ServerUnaryCall<Uint8Array, Uint8Array>, reply: sendUnaryData<Uint8Array>) => {
    const deadlineMs = Number(call.getDeadline());
    const timeoutMs = Number.isFinite(deadlineMs) ? deadlineMs - Date.now() : undefined;
    answerCheck(handle, call.request, timeoutMs, options, (response) => reply(null, response));
  };
}

function addHealth(server: Server, health: Health): void {
  const unknown = { code: status.NOT_FOUND, details: 'no such service' };
  const stopping = { code: status.UNAVAILABLE, details: 'the server is stopping' };
  const malformed = { code: status.INVALID_ARGUMENT, details: 'not a HealthCheckRequest' };
  server.addService(
    {
      Check: method(healthCheckPath, false),
      Watch: method(healthWatchPath, true),
    },
    {
      Check: (call: ServerUnaryCall<Uint8Array, Uint8Array>, reply: sendUnaryData<Uint8Array>) => {
        const service = decodeHealthRequest(call.request);
        if (!service.ok) return reply(malformed);
        const serving = health.check(service.value);
        return serving === undefined ? reply(unknown) : reply(null, encodeHealthResponse(serving));
      },
      Watch: (call: ServerWritableStream<Uint8Array, Uint8Array>) => {
        const service = decodeHealthRequest(call.request);
        if (!service.ok) {
          call.emit('error', malformed);
          return;
        }
        const stopWatching = health.watch(service.value, {
          tell: (serving) => call.write(encodeHealthResponse(serving)),
          end: () => call.emit('error', stopping),
        });
        call.on('cancelled', () => {
          stopWatching();
          call.end();
        });
      },
    },
  );
}

function createCredentials({ tls }: ServerOptions): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { certificatePem, keyPem, clientCaPem } = tls;
  return ServerCredentials.createSsl(
    clientCaPem ?? null,
    [{ cert_chain: certificatePem, private_key: keyPem }],
    clientCaPem !== undefined,
  );
}

function stop(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, graceMs);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
