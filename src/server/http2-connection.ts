import type { Socket } from 'node:net';
import type { ReceivedMessage } from './grpc-message.js';
import { HpackDecoder } from './hpack-decoder.js';
import type { HeaderField } from './hpack-tables.js';
import { ConnectionFault, type FrameEvents, FrameReader } from './http2-frame-reader.js';
import {
  type ErrorCode,
  errorCode,
  flag,
  frame,
  frameType,
  goawayFrame,
  maxFrameBytes,
  maxWindow,
  rstStreamFrame,
  setting,
  settingsFrame,
  windowUpdateFrame,
} from './http2-frames.js';
import { areTrailers, type RequestHead, readHead } from './http2-head.js';
import { defaultWindowBytes, Http2Sender } from './http2-sender.js';
import { Http2Stream, streamWindowBytes } from './http2-stream.js';

/** The protocol above a connection. */
export interface CallServer {
  readonly maxMessageBytes: number;
  readonly maxConcurrentStreams: number;
  /** Whether a call with this head is taken; false: it was refused, and nothing of it is read. */
  begin(stream: Http2Stream): boolean;
  /** The caller of a taken call has said all. */
  answer(stream: Http2Stream, message: ReceivedMessage): void;
}

/** How much one connection may send before it waits for our reading. */
const connectionWindowBytes = 16 * 1024 * 1024;
/** What the fields of one head may count together, uncompressed. */
const maxHeadBytes = 64 * 1024;
/** What may wait for a peer that does not read, before we stop to read it in turn. */
const maxUnreadBytes = 4 * 1024 * 1024;
const greetingTimeoutMs = 10_000;

/**
 * The server's side of one HTTP/2 connection (RFC 9113), as much of it as unary gRPC calls and
 * `Watch` need: no push, no priorities, no dynamic table for what is sent.
 */
export class Http2Connection implements FrameEvents {
  readonly #socket: Socket;
  readonly #server: CallServer;
  readonly #sender: Http2Sender;
  readonly #reader = new FrameReader(this);
  readonly #hpack = new HpackDecoder(maxHeadBytes);
  readonly #streams = new Map<number, Http2Stream>();
  /** The last head: clients repeat themselves, and the decoder then gives the same fields again. */
  #last: { readonly fields: readonly HeaderField[]; readonly head: RequestHead } | undefined;
  #lastStream = 0;
  #receiveWindow = connectionWindowBytes;
  #isStopping = false;
  #isOver = false;

  constructor(socket: Socket, server: CallServer) {
    this.#socket = socket;
    this.#server = server;
    this.#sender = new Http2Sender(socket, (id) => this.#sent(id));
    socket.setTimeout(greetingTimeoutMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => socket.resume());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#over());
    this.#sender.send(
      settingsFrame([
        [setting.maxConcurrentStreams, server.maxConcurrentStreams],
        [setting.initialWindowSize, streamWindowBytes],
        [setting.maxHeaderListSize, maxHeadBytes],
      ]),
    );
    this.#sender.send(windowUpdateFrame(0, connectionWindowBytes - defaultWindowBytes));
  }

  /** Says GOAWAY, refuses new calls unprocessed, and ends once the open ones are answered. */
  stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#sender.send(goawayFrame(this.#lastStream, errorCode.noError));
    this.#endIfDone();
  }

  headers(id: number, block: Buffer, endsStream: boolean): void {
    const fields = this.#hpack.decode(block);
    if (fields === undefined) throw new ConnectionFault(errorCode.compression);
    const known = this.#streams.get(id);
    if (known === undefined) this.#open(id, fields, endsStream);
    else if (known.isEnded) this.streamFault(id, errorCode.streamClosed);
    else if (!endsStream || !areTrailers(fields)) this.streamFault(id, errorCode.protocol);
    else this.#end(known);
  }

  data(id: number, body: Buffer, windowBytes: number, endsStream: boolean): void {
    this.#receiveWindow -= windowBytes;
    if (this.#receiveWindow < 0) throw new ConnectionFault(errorCode.flowControl);
    if (this.#receiveWindow < connectionWindowBytes / 2) {
      this.#sender.send(windowUpdateFrame(0, connectionWindowBytes - this.#receiveWindow));
      this.#receiveWindow = connectionWindowBytes;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) this.#wasOpen(id);
    if (stream === undefined || stream.isEnded) this.streamFault(id, errorCode.streamClosed);
    else if (stream.receiveWindow < windowBytes) this.streamFault(id, errorCode.flowControl);
    else this.#add(stream, body, windowBytes, endsStream);
  }

  settings(entries: readonly (readonly [id: number, value: number])[]): void {
    // What becomes possible by them is sent behind the acknowledgement.
    this.#sender.send(frame(frameType.settings, flag.ack, 0, Buffer.alloc(0)));
    for (const [id, value] of entries) {
      if (id === setting.enablePush && value > 1) throw new ConnectionFault(errorCode.protocol);
      if (id === setting.maxFrameSize && (value < maxFrameBytes || value >= 2 ** 24)) {
        throw new ConnectionFault(errorCode.protocol);
      }
      if (id !== setting.initialWindowSize) continue;
      const isWindow = value <= maxWindow;
      if (!isWindow || !this.#sender.setInitialWindow(value, this.#streams.values())) {
        throw new ConnectionFault(errorCode.flowControl);
      }
    }
  }

  ping(payload: Buffer): void {
    this.#sender.send(frame(frameType.ping, flag.ack, 0, payload));
  }

  windowUpdate(id: number, increment: number): void {
    if (id === 0) {
      if (!this.#sender.widen(increment)) throw new ConnectionFault(errorCode.flowControl);
      return;
    }
    const stream = this.#streams.get(id);
    if (stream === undefined) this.#wasOpen(id);
    else if (!this.#sender.widenStream(stream, increment)) {
      this.streamFault(id, errorCode.flowControl);
    }
  }

  reset(id: number): void {
    this.#wasOpen(id);
    this.#close(id);
  }

  streamFault(id: number, code: ErrorCode): void {
    this.#reset(id, code);
    this.#close(id);
  }

  #receive(chunk: Buffer): void {
    if (this.#isOver) return;
    try {
      this.#reader.read(chunk);
    } catch (error) {
      this.#fail(error instanceof ConnectionFault ? error.code : errorCode.internal);
    }
    if (this.#socket.timeout && this.#reader.isGreeted) this.#socket.setTimeout(0);
    if (this.#socket.writableLength > maxUnreadBytes) this.#socket.pause();
  }

  #fail(code: ErrorCode): void {
    this.#sender.send(goawayFrame(this.#lastStream, code));
    this.#sender.flush();
    this.#over();
    this.#socket.destroySoon();
  }

  #over(): void {
    this.#isOver = true;
    for (const stream of this.#streams.values()) stream.close();
    this.#streams.clear();
  }

  #readHead(fields: readonly HeaderField[]): RequestHead | undefined {
    if (this.#last?.fields === fields) return this.#last.head;
    const head = readHead(fields);
    this.#last = head === undefined ? undefined : { fields, head };
    return head;
  }

  #open(id: number, fields: readonly HeaderField[], endsStream: boolean): void {
    if (id % 2 === 0) throw new ConnectionFault(errorCode.protocol);
    if (id <= this.#lastStream) throw new ConnectionFault(errorCode.streamClosed);
    this.#lastStream = id;
    const { maxConcurrentStreams, maxMessageBytes } = this.#server;
    const isFull = this.#isStopping || this.#streams.size >= maxConcurrentStreams;
    const head = this.#readHead(fields);
    if (isFull || head === undefined) {
      this.#reset(id, isFull ? errorCode.refusedStream : errorCode.protocol);
      return;
    }
    const stream = new Http2Stream(id, head, maxMessageBytes, this.#sender);
    this.#streams.set(id, stream);
    stream.isEnded = endsStream;
    if (this.#server.begin(stream) && endsStream) this.#end(stream);
  }

  #add(stream: Http2Stream, body: Buffer, windowBytes: number, endsStream: boolean): void {
    stream.receiveWindow -= windowBytes;
    if (stream.receiveWindow < streamWindowBytes / 2 && !endsStream) {
      this.#sender.send(windowUpdateFrame(stream.id, streamWindowBytes - stream.receiveWindow));
      stream.receiveWindow = streamWindowBytes;
    }
    stream.add(body);
    if (endsStream) this.#end(stream);
  }

  #end(stream: Http2Stream): void {
    stream.isEnded = true;
    const { contentLength } = stream.head;
    if (contentLength === undefined || contentLength === stream.received) {
      this.#server.answer(stream, stream.message());
    } else {
      this.streamFault(stream.id, errorCode.protocol);
    }
  }

  /** Everything was sent; a caller that goes on sending is told that nobody listens (§8.1). */
  #sent(id: number): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined && !stream.isEnded) this.#reset(id, errorCode.noError);
    this.#close(id);
  }

  #reset(id: number, code: ErrorCode): void {
    this.#sender.send(rstStreamFrame(id, code));
  }

  #close(id: number): void {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    this.#streams.delete(id);
    stream.close();
    this.#endIfDone();
  }

  /** A frame on a stream that was never opened is a fault of the connection (§5.1). */
  #wasOpen(id: number): void {
    if (id > this.#lastStream || id % 2 === 0) throw new ConnectionFault(errorCode.protocol);
  }

  #endIfDone(): void {
    if (!this.#isStopping || this.#streams.size > 0) return;
    this.#sender.flush();
    this.#socket.end();
  }
}
