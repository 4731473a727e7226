import { connect, type Socket } from 'node:net';

/** What became of one call: the message of its answer; undefined when it was reset or cut off. */
export type Done = (answer: Buffer | undefined) => void;

/**
 * A gRPC client of bare HTTP/2 frames (RFC 9113): it sends prepared header blocks and reads no
 * response headers, so that one process can ask more than the sidecar can answer. Resets and lost
 * connections are answers here, where `bench/connection.ts` takes them for a void run.
 */
export interface RawClient {
  /** Sends one unary call. @returns its stream, for `cancel` */
  call(message: Uint8Array, done: Done): number;
  /** Resets a call as a caller does that waits no longer; its `done` is not called. */
  cancel(stream: number): void;
  /** Tells once when nothing more can be sent: GOAWAY, or the end of the connection. */
  onEnd(tell: () => void): void;
  close(): void;
}

const frame = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 };
const flag = { endStream: 1, ack: 1, endHeaders: 4 };
const cancelled = 8;
const headBytes = 9;
const maxWindow = 0x7fffffff;
const maxFrameBytes = 16_384;

export type Target = { readonly port: number } | { readonly path: string };

/** @param timeout the value of grpc-timeout: `1S` */
export async function connectRawClient(
  target: Target,
  path: string,
  timeout: string,
): Promise<RawClient> {
  const socket =
    'port' in target ? connect({ port: target.port, host: '127.0.0.1' }) : connect(target);
  socket.setNoDelay(true);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return new Connection(socket, headerBlock(path, timeout));
}

class Connection implements RawClient {
  readonly #socket: Socket;
  readonly #block: Buffer;
  readonly #calls = new Map<number, { readonly chunks: Buffer[]; readonly done: Done }>();
  readonly #waiting: { readonly stream: number; readonly body: Buffer }[] = [];
  #next = 1;
  #window = 65_535;
  #consumed = 0;
  #rest: Buffer = Buffer.alloc(0);
  #isCorked = false;
  #isOpen = true;
  #onEnd: (() => void) | undefined;

  constructor(socket: Socket, block: Buffer) {
    this.#socket = socket;
    this.#block = block;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', () => {});
    socket.on('close', () => this.#end());
    const settings = Buffer.concat([setting(2, 0), setting(4, maxWindow)]);
    this.#write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
    this.#write(frameOf(frame.settings, 0, 0, settings));
    this.#write(windowUpdate(maxWindow - 65_535));
  }

  onEnd(tell: () => void): void {
    this.#onEnd = tell;
  }

  call(message: Uint8Array, done: Done): number {
    const stream = this.#next;
    this.#next += 2;
    this.#calls.set(stream, { chunks: [], done });
    const body = Buffer.alloc(5 + message.length);
    body.writeUInt32BE(message.length, 1);
    body.set(message, 5);
    if (body.length > maxFrameBytes) throw new Error('the message does not fit into one frame');
    if (!this.#isOpen) {
      this.#finish(stream, undefined);
    } else if (this.#waiting.length > 0 || this.#window < body.length) {
      this.#waiting.push({ stream, body });
    } else {
      this.#send(stream, body);
    }
    return stream;
  }

  cancel(stream: number): void {
    if (!this.#calls.delete(stream)) return;
    const code = Buffer.alloc(4);
    code.writeUInt32BE(cancelled);
    this.#write(frameOf(frame.reset, 0, stream, code));
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(stream: number, body: Buffer): void {
    this.#window -= body.length;
    this.#write(frameOf(frame.headers, flag.endHeaders, stream, this.#block));
    this.#write(frameOf(frame.data, flag.endStream, stream, body));
  }

  /** What is written in one turn of the event loop leaves together. */
  #write(bytes: Buffer): void {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  #read(chunk: Buffer): void {
    let buffer = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (buffer.length >= headBytes) {
      const length = buffer.readUIntBE(0, 3);
      if (buffer.length < headBytes + length) break;
      const stream = buffer.readUInt32BE(5) & maxWindow;
      const payload = buffer.subarray(headBytes, headBytes + length);
      this.#frame(buffer[3] ?? 0, buffer[4] ?? 0, stream, payload);
      buffer = buffer.subarray(headBytes + length);
    }
    this.#rest = Buffer.from(buffer);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    if (type === frame.data) this.#data(stream, payload);
    else if (type === frame.reset) this.#finish(stream, undefined);
    else if (type === frame.goaway) this.#leave();
    else if (type === frame.settings && (flags & flag.ack) === 0) {
      this.#write(frameOf(frame.settings, flag.ack, 0, Buffer.alloc(0)));
    } else if (type === frame.ping && (flags & flag.ack) === 0) {
      this.#write(frameOf(frame.ping, flag.ack, 0, Buffer.from(payload)));
    } else if (type === frame.windowUpdate && stream === 0) {
      this.#window += payload.readUInt32BE(0);
      this.#sendWaiting();
    }
    const isEnd = type === frame.data || type === frame.headers;
    if (isEnd && (flags & flag.endStream) !== 0) {
      const chunks = this.#calls.get(stream)?.chunks ?? [];
      this.#finish(stream, chunks.length === 0 ? undefined : Buffer.concat(chunks).subarray(5));
    }
  }

  #data(stream: number, payload: Buffer): void {
    this.#calls.get(stream)?.chunks.push(Buffer.from(payload));
    this.#consumed += payload.length;
    if (this.#consumed < 1 << 20) return;
    this.#write(windowUpdate(this.#consumed));
    this.#consumed = 0;
  }

  #sendWaiting(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || this.#window < first.body.length) return;
      this.#waiting.shift();
      if (this.#calls.has(first.stream)) this.#send(first.stream, first.body);
    }
  }

  #finish(stream: number, answer: Buffer | undefined): void {
    const call = this.#calls.get(stream);
    this.#calls.delete(stream);
    call?.done(answer);
  }

  #leave(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#onEnd?.();
  }

  #end(): void {
    this.#leave();
    for (const stream of [...this.#calls.keys()]) this.#finish(stream, undefined);
  }
}

function frameOf(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(headBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, headBytes);
  return bytes;
}

function windowUpdate(increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frameOf(frame.windowUpdate, 0, 0, payload);
}

function setting(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt16BE(id);
  bytes.writeUInt32BE(value, 2);
  return bytes;
}

/** HPACK without a dynamic table (RFC 7541 §6.2.2): the indices are of its static table. */
function headerBlock(path: string, timeout: string): Buffer {
  const text = (value: string) => {
    if (value.length > 126) throw new Error('longer than one length byte tells');
    return Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
  };
  const named = (name: string, value: string) =>
    Buffer.concat([Buffer.of(0), text(name), text(value)]);
  return Buffer.concat([
    Buffer.of(0x83, 0x86, 0x04),
    text(path),
    Buffer.of(0x01),
    text('countersign.local'),
    Buffer.of(0x0f, 0x10),
    text('application/grpc'),
    named('te', 'trailers'),
    named('grpc-timeout', timeout),
  ]);
}
