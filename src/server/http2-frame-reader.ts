import {
  clientPreface,
  type ErrorCode,
  errorCode,
  flag,
  frameHeadBytes,
  frameType,
  maxFrameBytes,
  maxWindow,
} from './http2-frames.js';

/** Ends the connection (RFC 9113 §5.4.1): raised while frames are read, caught where they come in. */
export class ConnectionFault extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode) {
    super('the connection ends');
    this.code = code;
  }
}

/** What the frames of a client say; each whole, and valid as far as one frame alone can be. */
export interface FrameEvents {
  /** A whole block of header fields, compressed. */
  headers(stream: number, block: Buffer, endsStream: boolean): void;
  /** @param windowBytes what the frame takes from the windows: its padding counts as well */
  data(stream: number, body: Buffer, windowBytes: number, endsStream: boolean): void;
  settings(entries: readonly (readonly [id: number, value: number])[]): void;
  ping(payload: Buffer): void;
  windowUpdate(stream: number, increment: number): void;
  reset(stream: number): void;
  /** A fault of one stream alone (RFC 9113 §5.4.2). */
  streamFault(stream: number, code: ErrorCode): void;
}

/** Most that a block of header fields may have: bytes, compressed, and CONTINUATION frames. */
const maxBlockBytes = 64 * 1024;
const maxContinuations = 32;

interface Block {
  readonly stream: number;
  readonly endsStream: boolean;
  readonly parts: Buffer[];
  bytes: number;
}

/** Cuts the bytes of a client into frames (RFC 9113 §4 and §6), however they arrive. */
export class FrameReader {
  readonly #events: FrameEvents;
  #unread: Buffer = Buffer.alloc(0);
  #isGreeted = false;
  #hasSettings = false;
  #block: Block | undefined;

  constructor(events: FrameEvents) {
    this.#events = events;
  }

  /** Whether the client has shown that it speaks HTTP/2. */
  get isGreeted(): boolean {
    return this.#isGreeted;
  }

  /** Raises `ConnectionFault`, after which nothing more may be read. */
  read(chunk: Buffer): void {
    const bytes = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    let at = this.#isGreeted ? 0 : this.#greet(bytes);
    while (this.#isGreeted && bytes.length - at >= frameHeadBytes) {
      const length = bytes.readUIntBE(at, 3);
      if (length > maxFrameBytes) throw new ConnectionFault(errorCode.frameSize);
      const end = at + frameHeadBytes + length;
      if (bytes.length < end) break;
      this.#frame(bytes, at, end);
      at = end;
    }
    this.#unread = bytes.subarray(at);
  }

  /** The client's preface (§3.4); gives where the frames begin. */
  #greet(bytes: Buffer): number {
    const { length } = clientPreface;
    const known = Math.min(length, bytes.length);
    if (!bytes.subarray(0, known).equals(clientPreface.subarray(0, known))) {
      throw new ConnectionFault(errorCode.protocol);
    }
    this.#isGreeted = bytes.length >= length;
    return this.#isGreeted ? length : 0;
  }

  #frame(bytes: Buffer, start: number, end: number): void {
    const type = bytes[start + 3] ?? 0;
    const flags = bytes[start + 4] ?? 0;
    const stream = bytes.readUInt32BE(start + 5) & maxWindow;
    const at = start + frameHeadBytes;
    const isExpected = this.#block === undefined || type === frameType.continuation;
    if (!isExpected || (!this.#hasSettings && type !== frameType.settings)) {
      throw new ConnectionFault(errorCode.protocol);
    }
    if (type === frameType.data) this.#data(stream, flags, bytes, at, end);
    else if (type === frameType.headers) this.#headers(stream, flags, bytes, at, end);
    else if (type === frameType.windowUpdate) this.#windowUpdate(stream, bytes, at, end);
    else if (type === frameType.continuation) this.#continuation(stream, flags, bytes, at, end);
    else this.#rare(type, stream, flags, bytes.subarray(at, end));
  }

  /** §6.1. */
  #data(stream: number, flags: number, bytes: Buffer, at: number, end: number): void {
    onStream(stream);
    const body = unpadded(flags, bytes, at, end);
    this.#events.data(stream, body, end - at, (flags & flag.endStream) !== 0);
  }

  /** §6.2. */
  #headers(stream: number, flags: number, bytes: Buffer, at: number, end: number): void {
    onStream(stream);
    let part = unpadded(flags, bytes, at, end);
    if ((flags & flag.priority) !== 0) {
      if (part.length < 5) throw new ConnectionFault(errorCode.frameSize);
      if ((part.readUInt32BE(0) & maxWindow) === stream) {
        throw new ConnectionFault(errorCode.protocol);
      }
      part = part.subarray(5);
    }
    const endsStream = (flags & flag.endStream) !== 0;
    if ((flags & flag.endHeaders) !== 0) this.#events.headers(stream, part, endsStream);
    else this.#block = { stream, endsStream, parts: [part], bytes: part.length };
  }

  /** §6.10. */
  #continuation(stream: number, flags: number, bytes: Buffer, at: number, end: number): void {
    const block = this.#block;
    if (block?.stream !== stream) throw new ConnectionFault(errorCode.protocol);
    block.parts.push(bytes.subarray(at, end));
    block.bytes += end - at;
    if (block.bytes > maxBlockBytes || block.parts.length > maxContinuations) {
      throw new ConnectionFault(errorCode.enhanceYourCalm);
    }
    if ((flags & flag.endHeaders) === 0) return;
    this.#block = undefined;
    this.#events.headers(stream, Buffer.concat(block.parts), block.endsStream);
  }

  /** §6.9. */
  #windowUpdate(stream: number, bytes: Buffer, at: number, end: number): void {
    ofLength(end - at, 4);
    const increment = bytes.readUInt32BE(at) & maxWindow;
    if (increment > 0) this.#events.windowUpdate(stream, increment);
    else if (stream === 0) throw new ConnectionFault(errorCode.protocol);
    else this.#events.streamFault(stream, errorCode.protocol);
  }

  #rare(type: number, stream: number, flags: number, payload: Buffer): void {
    if (type === frameType.settings) this.#settings(stream, flags, payload);
    else if (type === frameType.ping) {
      onConnection(stream);
      ofLength(payload.length, 8);
      if ((flags & flag.ack) === 0) this.#events.ping(payload);
    } else if (type === frameType.rstStream) {
      onStream(stream);
      ofLength(payload.length, 4);
      this.#events.reset(stream);
    } else if (type === frameType.priority) this.#priority(stream, payload);
    else if (type === frameType.goaway) onConnection(stream);
    else if (type === frameType.pushPromise) throw new ConnectionFault(errorCode.protocol);
    // Frames of other types are extensions, to be passed over (§5.5).
  }

  /** §6.5. */
  #settings(stream: number, flags: number, payload: Buffer): void {
    onConnection(stream);
    const isAck = (flags & flag.ack) !== 0;
    if (payload.length % 6 !== 0 || (isAck && payload.length > 0)) {
      throw new ConnectionFault(errorCode.frameSize);
    }
    this.#hasSettings = true;
    if (isAck) return;
    const entries: [number, number][] = [];
    for (let at = 0; at < payload.length; at += 6) {
      entries.push([payload.readUInt16BE(at), payload.readUInt32BE(at + 2)]);
    }
    this.#events.settings(entries);
  }

  /** §6.3: nothing here is ordered by priority; a stream that depends on itself is still a fault. */
  #priority(stream: number, payload: Buffer): void {
    onStream(stream);
    if (payload.length !== 5) this.#events.streamFault(stream, errorCode.frameSize);
    else if ((payload.readUInt32BE(0) & maxWindow) === stream) {
      this.#events.streamFault(stream, errorCode.protocol);
    }
  }
}

function unpadded(flags: number, bytes: Buffer, at: number, end: number): Buffer {
  if ((flags & flag.padded) === 0) return bytes.subarray(at, end);
  const padding = bytes[at] ?? 0;
  if (at + 1 + padding > end) throw new ConnectionFault(errorCode.protocol);
  return bytes.subarray(at + 1, end - padding);
}

function onStream(stream: number): void {
  if (stream === 0) throw new ConnectionFault(errorCode.protocol);
}

function onConnection(stream: number): void {
  if (stream !== 0) throw new ConnectionFault(errorCode.protocol);
}

function ofLength(length: number, wanted: number): void {
  if (length !== wanted) throw new ConnectionFault(errorCode.frameSize);
}
