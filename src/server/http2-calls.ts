import { constants, type ServerHttp2Stream } from 'node:http2';
import { type CallFailure, frameMessage } from './grpc-message.js';

const responseHeaders = { ':status': 200, 'content-type': 'application/grpc' } as const;
const withTrailers = { waitForTrailers: true } as const;
const ending = { endStream: true } as const;
const okTrailers = { 'grpc-status': '0' } as const;

/** Whether the caller is gone: it has reset the call, or its connection has ended. */
export function isGone(stream: ServerHttp2Stream): boolean {
  return stream.closed || stream.destroyed;
}

/** Answers a unary call with its one message and status 0. */
export function sendMessage(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (isGone(stream)) return;
  stream.respond(responseHeaders, withTrailers);
  stream.once('wantTrailers', sendOk);
  stream.end(frameMessage(message));
}

function sendOk(this: ServerHttp2Stream): void {
  if (!isGone(this)) this.sendTrailers(okTrailers);
}

/** Ends a call without a message: headers and trailers in one (gRPC over HTTP/2, Trailers-Only). */
export function sendFailure(stream: ServerHttp2Stream, { code, message }: CallFailure): void {
  if (isGone(stream)) return;
  stream.respond({ ...responseHeaders, ...failureTrailers({ code, message }) }, ending);
  stopReading(stream);
}

/** Refuses what is no gRPC call at all, with an HTTP status alone. */
export function sendHttpStatus(stream: ServerHttp2Stream, status: number): void {
  if (isGone(stream)) return;
  stream.respond({ ':status': status }, ending);
  stopReading(stream);
}

/** Begins a stream of messages; `end` closes it with a failure. */
export function beginMessages(stream: ServerHttp2Stream): {
  send(message: Uint8Array): void;
  end(failure: CallFailure): void;
} {
  stream.respond(responseHeaders, withTrailers);
  return {
    send(message) {
      if (!isGone(stream)) stream.write(frameMessage(message));
    },
    end(failure) {
      if (isGone(stream)) return;
      stream.once('wantTrailers', () => {
        if (!isGone(stream)) stream.sendTrailers(failureTrailers(failure));
      });
      stream.end();
    },
  };
}

function failureTrailers({ code, message }: CallFailure) {
  return { 'grpc-status': String(code), 'grpc-message': message };
}

/** Tells a caller that is still sending that nobody listens (RFC 9113 §8.1). */
function stopReading(stream: ServerHttp2Stream): void {
  stream.resume();
  stream.close(constants.NGHTTP2_NO_ERROR);
}
