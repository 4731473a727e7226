import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2';
import { reserve } from '../../examples/quickstart/workplace.js';
import { startHttp2Server } from '../../src/server/http2-server.js';
import { type CheckHandler, checkPath, type Listener } from '../../src/server/listener.js';
import { startGrpcJsServer } from './grpc-js-server.js';

/** The server, and one on grpc-js as the reference: both are held to one contract. */
export const bothServers = [
  { name: 'the gRPC server on grpc-js', startServer: startGrpcJsServer },
  { name: 'the gRPC server of our own', startServer: startHttp2Server },
] as const;

export type StartServer = (typeof bothServers)[number]['startServer'];

export const lastResort = Uint8Array.of(1, 2, 3);
export const maxMessageBytes = 6 * 1024 * 1024;
export const echo: CheckHandler = async (bytes) => bytes;

/** A message with its gRPC prefix. */
export function framed(message: Uint8Array, flag = 0): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame[0] = flag;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

export interface RawAnswer {
  readonly httpStatus: number | undefined;
  readonly grpcStatus: string | undefined;
  /** The body as it came: prefixes included. */
  readonly body: readonly number[];
}

/** A server and one plain HTTP/2 connection to it, without any gRPC library on our side. */
export interface RawConnection {
  readonly listener: Listener;
  readonly session: ClientHttp2Session;
  readonly port: number;
  /** One call whose body is sent in these pieces, each in a frame of its own, and then ended. */
  call(pieces: readonly Uint8Array[], head?: OutgoingHttpHeaders): Promise<RawAnswer>;
  close(): Promise<void>;
}

export async function connectRaw(
  startServer: StartServer,
  handle: CheckHandler,
): Promise<RawConnection> {
  const [port = 0] = await reserve(1);
  const listener = await startServer(handle, {
    address: { kind: 'tcp', host: '127.0.0.1', port },
    maxMessageBytes,
    lastResort,
    tls: undefined,
  });
  // A window for each call below the connection's own, so that one slow reader cannot fill that.
  const session = connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 8192 } });
  session.on('error', () => {});
  return {
    listener,
    session,
    port,
    call: (pieces, head = {}) => call(session, pieces, head),
    async close() {
      session.destroy();
      await listener.stop(100);
    },
  };
}

export const grpcHead: OutgoingHttpHeaders = {
  ':method': 'POST',
  ':path': checkPath,
  'content-type': 'application/grpc',
  te: 'trailers',
};

async function call(
  session: ClientHttp2Session,
  pieces: readonly Uint8Array[],
  head: OutgoingHttpHeaders,
): Promise<RawAnswer> {
  const stream = session.request({ ...grpcHead, ...head });
  let httpStatus: number | undefined;
  let grpcStatus: string | undefined;
  const body: number[] = [];
  const note = (value: string | readonly string[] | undefined) => {
    if (value !== undefined) grpcStatus = String(value);
  };
  stream.on('response', (headers) => {
    httpStatus = headers[':status'];
    note(headers['grpc-status']);
  });
  stream.on('trailers', (trailers) => note(trailers['grpc-status']));
  stream.on('data', (chunk: Buffer) => body.push(...chunk));
  stream.on('error', () => {});
  const ended = new Promise((resolve) => stream.once('close', resolve));
  for (const piece of pieces) {
    stream.write(piece);
    // A turn of the event loop, so that each piece is a DATA frame of its own.
    await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
  await ended;
  return { httpStatus, grpcStatus, body };
}
