import { decodeHealthRequest, encodeHealthResponse } from '../wire/health.js';
import { beginMessages, sendFailure, sendMessage } from './grpc-answer.js';
import { grpcStatus, type ReceivedMessage } from './grpc-message.js';
import type { Health } from './health.js';
import type { Http2Stream } from './http2-stream.js';

const noSuchService = { code: grpcStatus.notFound, message: 'no such service' };
const notHealth = { code: grpcStatus.invalidArgument, message: 'not a HealthCheckRequest' };
const tooLong = { code: grpcStatus.resourceExhausted, message: 'the message is too long' };
const stopping = { code: grpcStatus.unavailable, message: 'the server is stopping' };

type Answer = (stream: Http2Stream, message: ReceivedMessage) => void;

/** grpc.health.v1.Health/Check: the status now; NOT_FOUND for a service not served here. */
export function answerHealthCheck(health: Health): Answer {
  return (stream, message) => {
    const service = readService(stream, message);
    if (service === undefined) return;
    const status = health.check(service);
    if (status === undefined) sendFailure(stream, noSuchService);
    else sendMessage(stream, encodeHealthResponse(status));
  };
}

/** grpc.health.v1.Health/Watch: the status now and each change, until either side ends. */
export function answerHealthWatch(health: Health): Answer {
  return (stream, message) => {
    const service = readService(stream, message);
    if (service === undefined) return;
    const messages = beginMessages(stream);
    const stopWatching = health.watch(service, {
      tell: (status) => messages.send(encodeHealthResponse(status)),
      end: () => messages.end(stopping),
    });
    stream.onClose(stopWatching);
  };
}

/** The service that a call asks about; undefined when the call has been ended with a failure. */
function readService(stream: Http2Stream, message: ReceivedMessage): string | undefined {
  if (message.kind !== 'message') {
    sendFailure(stream, message.kind === 'failure' ? message.failure : tooLong);
    return undefined;
  }
  const service = decodeHealthRequest(message.bytes);
  if (service.ok) return service.value;
  sendFailure(stream, notHealth);
  return undefined;
}
