import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { answerCheck } from './answer-check.js';
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
  hostAndPort,
  type Listener,
  maxConcurrentStreams,
  type ServerOptions,
} from './listener.js';
import { clearSocketPath, withSocketMode } from './unix-socket.js';

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
  const address = await listen(server, options);
  return {
    address,
    setServing: (isServing) => health.setServing(isServing),
    async stop(graceMs) {
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

async function listen(
  server: Http2Server | Http2SecureServer,
  { address }: ServerOptions,
): Promise<string> {
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
