/** Why a call ends without an answer: a gRPC status code and a sentence for the caller. */
export interface CallFailure {
  readonly code: number;
  readonly message: string;
}

/** The gRPC status codes a server of ours gives. */
export const grpcStatus = {
  invalidArgument: 3,
  notFound: 5,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** Compressed flag and length before each message (gRPC over HTTP/2, Length-Prefixed-Message). */
const prefixBytes = 5;

/** What the body of a unary call held: its one message, or its length where that is above the limit. */
export type ReceivedMessage =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'too-long' }
  | { readonly kind: 'failure'; readonly failure: CallFailure };

const failure = (code: number, message: string): ReceivedMessage => ({
  kind: 'failure',
  failure: { code, message },
});
const noMessage = failure(grpcStatus.unimplemented, 'a unary call has one message');
const twoMessages = failure(grpcStatus.unimplemented, 'a unary call has no second message');
const compressed = failure(grpcStatus.unimplemented, 'messages must not be compressed');
const cut = failure(grpcStatus.internal, 'the message ends early');
const tooLong: ReceivedMessage = { kind: 'too-long' };

/**
 * Collects a unary call's body from its DATA frames, however they are cut, and keeps no more than a
 * message of `maxBytes` needs. Total: any bytes end in one of the three outcomes.
 */
export class MessageCollector {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #received = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(chunk: Buffer): void {
    if (this.#received < prefixBytes + this.#maxBytes) this.#chunks.push(chunk);
    this.#received += chunk.length;
  }

  /** To be called once, when the caller has ended its side. */
  end(): ReceivedMessage {
    if (this.#received === 0) return noMessage;
    if (this.#received < prefixBytes) return cut;
    const [first] = this.#chunks;
    const body =
      first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
    if (body[0] !== 0) return compressed;
    const length = body.readUInt32BE(1);
    if (this.#received < prefixBytes + length) return cut;
    if (this.#received > prefixBytes + length) return twoMessages;
    if (length > this.#maxBytes) return tooLong;
    return { kind: 'message', bytes: body.subarray(prefixBytes) };
  }
}

/** A message with its prefix, uncompressed. */
export function frameMessage(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}
