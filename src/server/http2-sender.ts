import type { Socket } from 'node:net';
import {
  flag,
  frame,
  frameHeadBytes,
  frameType,
  maxFrameBytes,
  maxWindow,
  writeFrame,
} from './http2-frames.js';

/** What one stream has still to send, and how much of it its receiver takes (RFC 9113 §5.2). */
export interface Outgoing {
  readonly id: number;
  sendWindow: number;
  /** DATA that waits for a window. */
  pending: Buffer | undefined;
  /** The frame that ends the stream behind `pending`; undefined while more may come. */
  ending: Buffer | undefined;
}

/** Every window before anybody has said otherwise (RFC 9113 §6.9.2). */
export const defaultWindowBytes = 65_535;

/**
 * The sending half of a connection: collects what one turn of the event loop has to say into one
 * write, and holds DATA back until its receiver takes it.
 */
export class Http2Sender {
  readonly #socket: Socket;
  readonly #onEnd: (id: number) => void;
  readonly #blocked = new Set<Outgoing>();
  #frames: Buffer[] = [];
  #isScheduled = false;
  #window = defaultWindowBytes;
  #initialWindow = defaultWindowBytes;

  /** @param onEnd told of each stream whose last frame was sent */
  constructor(socket: Socket, onEnd: (id: number) => void) {
    this.#socket = socket;
    this.#onEnd = onEnd;
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE of the peer: the window of a stream that it opens. */
  get initialWindow(): number {
    return this.#initialWindow;
  }

  /** Sends a frame, or several, that no window holds back. */
  send(frames: Buffer): void {
    this.#frames.push(frames);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(() => this.flush());
  }

  /** Writes what is collected. */
  flush(): void {
    this.#isScheduled = false;
    const frames = this.#frames;
    const [first] = frames;
    if (first === undefined) return;
    this.#frames = [];
    if (!this.#socket.writable) return;
    this.#socket.write(frames.length === 1 ? first : Buffer.concat(frames));
  }

  /**
   * Answers a call at once: a block of fields, one body, and the block of fields that end it, in one
   * piece where the windows let it through.
   */
  sendAnswer(stream: Outgoing, fields: Buffer, body: Buffer, trailers: Buffer): void {
    const { id } = stream;
    if (body.length > Math.min(maxFrameBytes, this.#window, stream.sendWindow)) {
      this.send(headersFrame(id, fields, false));
      this.sendData(stream, body, headersFrame(id, trailers, true));
      return;
    }
    this.#window -= body.length;
    const bytes = fields.length + body.length + trailers.length;
    const frames = Buffer.allocUnsafe(3 * frameHeadBytes + bytes);
    const { headers, data } = frameType;
    let at = writeFrame(frames, 0, headers, flag.endHeaders, id, fields);
    at = writeFrame(frames, at, data, 0, id, body);
    writeFrame(frames, at, headers, flag.endHeaders | flag.endStream, id, trailers);
    this.send(frames);
    this.#onEnd(id);
  }

  /** Sends DATA, and then the frame that ends the stream, as far and as soon as the windows allow. */
  sendData(stream: Outgoing, data: Buffer, ending: Buffer | undefined): void {
    stream.pending = stream.pending === undefined ? data : Buffer.concat([stream.pending, data]);
    stream.ending = ending;
    this.#blocked.add(stream);
    this.#pump(stream);
  }

  /** Nothing more of this stream is sent. */
  forget(stream: Outgoing): void {
    this.#blocked.delete(stream);
  }

  /** The peer takes more of the connection; false where the window would overflow. */
  widen(increment: number): boolean {
    this.#window += increment;
    for (const stream of this.#blocked) this.#pump(stream);
    return this.#window <= maxWindow;
  }

  /** The peer takes more of one stream; false where the window would overflow. */
  widenStream(stream: Outgoing, increment: number): boolean {
    stream.sendWindow += increment;
    if (this.#blocked.has(stream)) this.#pump(stream);
    return stream.sendWindow <= maxWindow;
  }

  /** The peer has another initial window, which counts for its open streams as well (RFC 9113 §6.9.2). */
  setInitialWindow(size: number, open: Iterable<Outgoing>): boolean {
    const change = size - this.#initialWindow;
    this.#initialWindow = size;
    let isValid = true;
    for (const stream of open) isValid = this.widenStream(stream, change) && isValid;
    return isValid;
  }

  #pump(stream: Outgoing): void {
    let { pending } = stream;
    while (pending !== undefined && pending.length > 0) {
      const length = Math.min(pending.length, maxFrameBytes, this.#window, stream.sendWindow);
      if (length <= 0) break;
      this.#window -= length;
      stream.sendWindow -= length;
      this.send(frame(frameType.data, 0, stream.id, pending.subarray(0, length)));
      pending = pending.subarray(length);
    }
    stream.pending = pending?.length === 0 ? undefined : pending;
    if (stream.pending !== undefined) return;
    this.#blocked.delete(stream);
    if (stream.ending === undefined) return;
    this.send(stream.ending);
    this.#onEnd(stream.id);
  }
}

/** A HEADERS frame with the whole block in it. */
export function headersFrame(stream: number, block: Buffer, endsStream: boolean): Buffer {
  const flags = flag.endHeaders | (endsStream ? flag.endStream : 0);
  return frame(frameType.headers, flags, stream, block);
}
