import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { answerCheck } from './answer-check.js';
import { doorOptions, openDoor } from './door.js';
import { grpcStatus, MessageCollector, type ReceivedMessage } from './grpc-message.js';
import { parseGrpcTimeout } from './grpc-timeout.js';
import { createHealth } from './health.js';
import { isGone, sendFailure, sendHttpStatus, sendMessage } from './http2-calls.js';
import { trackConnections } from './http2-connections.js';
import { answerHealthCheck, answerHealthWatch } from './http2-health.js';
import {
  type CheckHandler,
  checkPath,
  healthCheckPath,
  healthWatchPath,
  type Listener,
  maxConcurrentStreams,
  type ServerOptions,
} from './listener.js';

type Head = IncomingHttpHeaders;
type Answer = (stream: ServerHttp2Stream, message: ReceivedMessage, head: Head) => void;

/** How much one call may send before it waits for our reading. */
const streamWindowBytes = 1024 * 1024;
const noSuchMethod = { code: grpcStatus.unimplemented, message: 'no such method' };

/**
 * The gRPC server over `node:http2` alone: the three methods it has, uncompressed unary requests,
 * and a refusal for everything else.
 */
export async function startHttp2Server(
  handle: CheckHandler,
  options: ServerOptions,
): Promise<Listener> {
  const health = createHealth();
  const server = create(options);
  const answers: ReadonlyMap<string, Answer> = new Map([
    [checkPath, check(handle, options)],
    [healthCheckPath, answerHealthCheck(health)],
    [healthWatchPath, answerHealthWatch(health)],
  ]);
  server.on('stream', (stream: ServerHttp2Stream, head: Head) => {
    // A caller that resets its call is no event of ours; without a listener it would end the process.
    stream.on('error', () => {});
    receive(stream, head, answers, options.maxMessageBytes);
  });
  const connections = trackConnections(server);
  const take = (socket: Socket) => void server.emit('connection', socket);
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

function create({ tls }: ServerOptions): Http2Server | Http2SecureServer {
  const settings = { maxConcurrentStreams, initialWindowSize: streamWindowBytes };
  // The streams and their messages are bounded; a bound on memory would refuse a Check in its place.
  const common = { settings, maxSessionMemory: Number.MAX_SAFE_INTEGER };
  if (tls === undefined) return createServer(common);
  const { certificatePem, keyPem, clientCaPem } = tls;
  const mutual =
    clientCaPem === undefined
      ? {}
      : { ca: clientCaPem, requestCert: true, rejectUnauthorized: true };
  return createSecureServer({ ...common, cert: certificatePem, key: keyPem, ...mutual });
}

/** Refuses by its head what is no call of ours, and gives the body of any other to its method. */
function receive(
  stream: ServerHttp2Stream,
  head: Head,
  answers: ReadonlyMap<string, Answer>,
  maxMessageBytes: number,
): void {
  const answer = answers.get(head[':path'] ?? '');
  if (head[':method'] !== 'POST') sendHttpStatus(stream, 405);
  else if (!isGrpc(head['content-type'])) sendHttpStatus(stream, 415);
  else if (answer === undefined) sendFailure(stream, noSuchMethod);
  else {
    const collector = new MessageCollector(maxMessageBytes);
    stream.on('data', (chunk: Buffer) => collector.add(chunk));
    stream.on('end', () => {
      if (!isGone(stream)) answer(stream, collector.end(), head);
    });
  }
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType === 'application/grpc' || /^application\/grpc[+;]/.test(contentType ?? '');
}

function check(handle: CheckHandler, options: ServerOptions): Answer {
  return (stream, message, head) => {
    if (message.kind === 'failure') sendFailure(stream, message.failure);
    else if (message.kind === 'too-long') sendMessage(stream, options.lastResort);
    else {
      const timeoutMs = parseGrpcTimeout(head['grpc-timeout']);
      answerCheck(handle, message.bytes, timeoutMs, options, (answer) =>
        sendMessage(stream, answer),
      );
    }
  };
}
