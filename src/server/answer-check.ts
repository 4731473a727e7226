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
  const { maxMessageBytes, lastResort } = options;
  const send = (answer: Uint8Array) => reply(answer.length === 0 ? lastResort : answer);
  let answer: Uint8Array | Promise<Uint8Array> = lastResort;
  try {
    if (request.length <= maxMessageBytes) answer = handle(request, timeoutMs);
  } catch {
    // The last resort stands.
  }
  if (answer instanceof Promise) answer.then(send, () => reply(lastResort));
  else send(answer);
}
