import type { Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { answerCheck } from './answer-check.js';
import { doorOptions, openDoor } from './door.js';
import { sendFailure, sendHttpStatus, sendMessage } from './grpc-answer.js';
import { grpcStatus, type ReceivedMessage } from './grpc-message.js';
import { parseGrpcTimeout } from './grpc-timeout.js';
import { createHealth } from './health.js';
import type { CallServer } from './http2-connection.js';
import { trackConnections } from './http2-connections.js';
import { answerHealthCheck, answerHealthWatch } from './http2-health.js';
import type { Http2Stream } from './http2-stream.js';
import {
  type CheckHandler,
  checkPath,
  healthCheckPath,
  healthWatchPath,
  type Listener,
  maxConcurrentStreams,
  type ServerOptions,
  type TlsOptions,
} from './listener.js';

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
  const connections = trackConnections(serveCalls(answers, options.maxMessageBytes));
  const speak = connections.speak;
  const greet = options.tls === undefined ? speak : speakTls(options.tls, speak);
  const take = (socket: Socket) => {
    if (connections.enter(socket)) greet(socket);
  };
  const door = options.address && (await openDoor(options.address, doorOptions(options), take));
  return {
    door,
    take,
    setServing: (isServing) => health.setServing(isServing),
    async stop(graceMs) {
      door?.close();
      health.close();
      await connections.stop(graceMs);
    },
  };
}

/** Gives a connection on once its TLS stands, if both sides speak HTTP/2. */
function speakTls(
  { certificatePem, keyPem, clientCaPem }: TlsOptions,
  speak: (socket: Socket) => void,
): (socket: Socket) => void {
  const mutual =
    clientCaPem === undefined
      ? {}
      : { ca: clientCaPem, requestCert: true, rejectUnauthorized: true };
  const secure = { cert: certificatePem, key: keyPem, ALPNProtocols: ['h2'], ...mutual };
  // It never listens: connections are handed to it.
  const server = createTlsServer(secure, (socket: TLSSocket) => {
    if (socket.alpnProtocol === 'h2') speak(socket);
    else socket.destroy();
  });
  server.on('tlsClientError', (_, socket) => socket.destroy());
  return (socket) => void server.emit('connection', socket);
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
