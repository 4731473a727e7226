import { type CallFailure, frameMessage } from './grpc-message.js';
import type { Http2Stream } from './http2-stream.js';

/*
 * Blocks of header fields (RFC 7541 §6): indexed where the static table has all of the field, else
 * literals that go into no table, so that every answer of a kind is the same bytes.
 */
const statusName = 0x08;
const contentTypeName = [0x0f, 0x10];
const newName = 0x00;

function literal(name: readonly number[], value: string): Buffer {
  return Buffer.concat([Buffer.from(name), plainString(value)]);
}

/** A string as it is, shorter than 127 bytes (§5.2). */
function plainString(text: string): Buffer {
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')]);
}

function named(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(newName), plainString(name), plainString(value)]);
}

const status200 = Buffer.of(0x88);
const answerFields = Buffer.concat([status200, literal(contentTypeName, 'application/grpc')]);
const okTrailers = named('grpc-status', '0');

/** Answers a unary call with its one message and status 0. */
export function sendMessage(stream: Http2Stream, message: Uint8Array): void {
  stream.sendAnswer(answerFields, frameMessage(message), okTrailers);
}

/** Ends a call without a message: fields and trailers in one (gRPC over HTTP/2, Trailers-Only). */
export function sendFailure(stream: Http2Stream, failure: CallFailure): void {
  stream.sendOnlyFields(Buffer.concat([answerFields, failureTrailers(failure)]));
}

/** Refuses what is no gRPC call at all, with an HTTP status alone. */
export function sendHttpStatus(stream: Http2Stream, status: number): void {
  stream.sendOnlyFields(literal([statusName], String(status)));
}

/** Begins a stream of messages; `end` closes it with a failure. */
export function beginMessages(stream: Http2Stream): {
  send(message: Uint8Array): void;
  end(failure: CallFailure): void;
} {
  stream.sendFields(answerFields);
  return {
    send: (message) => stream.sendBody(frameMessage(message)),
    end: (failure) => stream.sendOnlyFields(failureTrailers(failure)),
  };
}

function failureTrailers({ code, message }: CallFailure): Buffer {
  return Buffer.concat([named('grpc-status', String(code)), named('grpc-message', message)]);
}
