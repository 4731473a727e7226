import type { CheckHandler, ServerOptions } from './listener.js';

/**
 * Replies to one Check with the handler's answer. Whatever keeps it from one, a message above the
 * limit included, gets the last resort, an explicit deny: a gRPC error would let the request through
 * under Envoy's `failure_mode_allow`, and an empty answer is an allow (ENVOY.md 0, facts 1 and 3).
 */
export function answerCheck(
  handle: CheckHandler,
  request: Uint8Array,
  timeoutMs: number | undefined,
  options: ServerOptions,
  reply: (answer: Uint8Array) => void,
): void {
  const { lastResort } = options;
  attempt(handle, request, timeoutMs, options).then(
    (answer) => reply(answer.length === 0 ? lastResort : answer),
    () => reply(lastResort),
  );
}

/** Also a handler that throws before it has made its promise ends in a rejection. */
async function attempt(
  handle: CheckHandler,
  request: Uint8Array,
  timeoutMs: number | undefined,
  { maxMessageBytes, lastResort }: ServerOptions,
): Promise<Uint8Array> {
  return request.length > maxMessageBytes ? lastResort : handle(request, timeoutMs);
}
