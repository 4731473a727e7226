import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { answerCheck } from './answer-check.js';
import { sendFailure, sendHttpStatus, sendMessage } from './grpc-answer.js';
import { grpcStatus, type ReceivedMessage } from './grpc-message.js';
import { parseGrpcTimeout } from './grpc-timeout.js';
import { createHealth } from './health.js';
import { type CallServer, Http2Connection } from './http2-connection.js';
import { answerHealthCheck, answerHealthWatch } from './http2-health.js';
import type { Http2Stream } from './http2-stream.js';
import {
  type CheckHandler,
  checkPath,
  healthCheckPath,
  healthWatchPath,
  hostAndPort,
  type Listener,
  maxConcurrentStreams,
  type ServerOptions,
} from './listener.js';
import { clearSocketPath, withSocketMode } from './unix-socket.js';

type Answer = (stream: Http2Stream, message: ReceivedMessage) => void;

const noSuchMethod = { code: grpcStatus.unimplemented, message: 'no such method' };

/**
 * The gRPC server: the three methods it has, uncompressed unary requests, and a refusal for
 * everything else, on HTTP/2 connections of its own.
 */
export async function startHttp2Server(
  handle: CheckHandler,
  options: ServerOptions,
): Promise<Listener> {
  const health = createHealth();
  const answers: ReadonlyMap<string, Answer> = new Map([
    [checkPath, check(handle, options)],
    [healthCheckPath, answerHealthCheck(health)],
    [healthWatchPath, answerHealthWatch(health)],
  ]);
  const callServer = serveCalls(answers, options.maxMessageBytes);
  const connections = new Set<Http2Connection>();
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    const connection = new Http2Connection(socket, callServer);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  };
  const server = create(options, accept);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const address = await listen(server, options);
  return {
    address,
    setServing: (isServing) => health.setServing(isServing),
    async stop(graceMs) {
      health.close();
      await stop(server, connections, sockets, graceMs);
    },
  };
}

/** Refuses by its head what is no call of ours, and gives the body of any other to its method. */
function serveCalls(answers: ReadonlyMap<string, Answer>, maxMessageBytes: number): CallServer {
  return {
    maxMessageBytes,
    maxConcurrentStreams,
    begin(stream) {
      const { method, contentType, path } = stream.head;
      if (method !== 'POST') sendHttpStatus(stream, 405);
      else if (!isGrpc(contentType)) sendHttpStatus(stream, 415);
      else if (!answers.has(path)) sendFailure(stream, noSuchMethod);
      else return true;
      return false;
    },
    answer: (stream, message) => answers.get(stream.head.path)?.(stream, message),
  };
}

function isGrpc(contentType: string): boolean {
  return contentType === 'application/grpc' || /^application\/grpc[+;]/.test(contentType);
}

function check(handle: CheckHandler, options: ServerOptions): Answer {
  return (stream, message) => {
    if (message.kind === 'failure') sendFailure(stream, message.failure);
    else if (message.kind === 'too-long') sendMessage(stream, options.lastResort);
    else {
      const timeoutMs = parseGrpcTimeout(stream.head.grpcTimeout);
      answerCheck(handle, message.bytes, timeoutMs, options, (answer) =>
        sendMessage(stream, answer),
      );
    }
  };
}

function create({ tls }: ServerOptions, accept: (socket: Socket) => void): Server {
  if (tls === undefined) return createServer({ noDelay: true }, accept);
  const { certificatePem, keyPem, clientCaPem } = tls;
  const mutual =
    clientCaPem === undefined
      ? {}
      : { ca: clientCaPem, requestCert: true, rejectUnauthorized: true };
  const secure = { cert: certificatePem, key: keyPem, ALPNProtocols: ['h2'], ...mutual };
  const server = createTlsServer(secure, (socket: TLSSocket) => {
    if (socket.alpnProtocol === 'h2') accept(socket);
    else socket.destroy();
  });
  server.on('tlsClientError', (_, socket) => socket.destroy());
  return server;
}

async function listen(server: Server, { address }: ServerOptions): Promise<string> {
  const bind = (target: { path: string } | { host: string; port: number }) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(target, () => {
        server.off('error', reject);
        resolve();
      });
    });
  if (address.kind === 'unix') {
    await clearSocketPath(address.path);
    await withSocketMode(address.path, () => bind({ path: address.path }));
    return `unix://${address.path}`;
  }
  await bind({ host: address.host, port: address.port });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return hostAndPort({ ...address, port });
}

/**
 * Says GOAWAY on every connection, ends each when its calls are answered, and cuts off what is left
 * after `graceMs`.
 */
function stop(
  server: Server,
  connections: ReadonlySet<Http2Connection>,
  sockets: ReadonlySet<Socket>,
  graceMs: number,
): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    for (const connection of connections) connection.stop();
  });
}
