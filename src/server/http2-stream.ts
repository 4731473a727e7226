import { MessageCollector, type ReceivedMessage } from './grpc-message.js';
import type { RequestHead } from './http2-head.js';
import { type Http2Sender, headersFrame, type Outgoing } from './http2-sender.js';

/** How much one call may send before it waits for our reading. */
export const streamWindowBytes = 1024 * 1024;

const noBytes = Buffer.alloc(0);

/** One call: what came of it so far, and the way back. After its end nothing is sent. */
export class Http2Stream implements Outgoing {
  readonly id: number;
  readonly head: RequestHead;
  readonly #collector: MessageCollector;
  readonly #sender: Http2Sender;
  sendWindow: number;
  pending: Buffer | undefined = undefined;
  ending: Buffer | undefined = undefined;
  /** What the caller may still send. */
  receiveWindow = streamWindowBytes;
  /** Bytes of the body that came. */
  received = 0;
  /** The caller has said all. */
  isEnded = false;
  #isClosed = false;
  #onClose: (() => void) | undefined = undefined;

  constructor(id: number, head: RequestHead, maxMessageBytes: number, sender: Http2Sender) {
    this.id = id;
    this.head = head;
    this.#collector = new MessageCollector(maxMessageBytes);
    this.#sender = sender;
    this.sendWindow = sender.initialWindow;
  }

  /** A part of the body. */
  add(body: Buffer): void {
    this.received += body.length;
    this.#collector.add(body);
  }

  /** What the body held; to be asked once, when the caller has said all. */
  message(): ReceivedMessage {
    return this.#collector.end();
  }

  /** Tells when the call has ended, whoever ended it. */
  onClose(listener: () => void): void {
    this.#onClose = listener;
  }

  close(): void {
    this.#isClosed = true;
    this.#sender.forget(this);
    this.#onClose?.();
  }

  /** The whole answer: the block of its fields, its one body, and the block of its trailers. */
  sendAnswer(fields: Buffer, body: Buffer, trailers: Buffer): void {
    if (!this.#isClosed) this.#sender.sendAnswer(this, fields, body, trailers);
  }

  /** An answer without a body. */
  sendOnlyFields(fields: Buffer): void {
    if (!this.#isClosed) this.#sender.sendData(this, noBytes, headersFrame(this.id, fields, true));
  }

  /** Begins an answer of several bodies. */
  sendFields(fields: Buffer): void {
    if (!this.#isClosed) this.#sender.send(headersFrame(this.id, fields, false));
  }

  sendBody(body: Buffer): void {
    if (!this.#isClosed) this.#sender.sendData(this, body, undefined);
  }
}
