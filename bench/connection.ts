import { connect, type Socket } from 'node:net';
import { connect as connectTls, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { type Field, type Head, HeadReader, headBlocks } from './hpack.js';
import { type Verdict, verdictOf } from './verdict.js';

/**
 * One HTTP/2 connection of the load generator, over a plain socket with frames of its own: a library
 * costs as much for a call as the server that is measured. It reads every answer whole: its status,
 * its message, its trailers. What it does not know (a reset, padding, a push) voids the run.
 */
export interface Target {
  readonly address: { readonly port: number } | { readonly path: string };
  readonly tls?: SecureContextOptions;
  /** The head of every request. */
  readonly head: readonly Field[];
  /** grpc: a CheckResponse and grpc-status 0; http: status 200 is a permit, 401 and 403 a deny. */
  readonly answers: 'grpc' | 'http';
}

/** One request: its body ready to send, and what must be the answer. */
export interface Question {
  /** Empty: the request has no body. */
  readonly body: Buffer;
  /** Where eight digits of a number of its own are written, so that no two requests are the same. */
  readonly stamps: readonly number[];
  readonly want: Verdict | 'either';
}

export interface Listener {
  /** What is asked inside of it is sent together, after all answers that came together. */
  answer(question: Question, tag: number, verdict: Verdict): void;
  failed(error: Error): void;
}

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const frame = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  window: 8,
} as const;
const flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
const setting = { tableSize: 1, push: 2, streams: 3, window: 4 } as const;
const frameHeaderBytes = 9;
const maxWindow = 0x7fffffff;
const topUpBytes = 0x20000000;
const outBytes = 256 * 1024;
/** Streams whose answers are awaited are found by the low bits of their number. */
const slots = 1 << 16;

interface Asked {
  readonly question: Question;
  readonly tag: number;
}

export class Connection {
  readonly #socket: Socket | TLSSocket;
  readonly #target: Target;
  readonly #listener: Listener;
  readonly #reader = new HeadReader();
  readonly #asked: (Asked | undefined)[] = new Array(slots).fill(undefined);
  readonly #verdicts: Verdict[] = new Array(slots).fill('wrong');
  readonly #parts = new Map<number, Buffer>();
  readonly #waiting: Asked[] = [];
  readonly #spare: Buffer[] = [];
  #out: Buffer = Buffer.allocUnsafe(outBytes);
  #used = 0;
  #rest: Buffer = Buffer.alloc(0);
  #blocks: { readonly first: Buffer; readonly later: Buffer } | undefined;
  #nextStream = 1;
  #inFlight = 0;
  #maxStreams = maxWindow;
  #window = 65_535;
  #streamWindow = 65_535;
  #unacknowledged = 0;
  #stamp = 0;
  #isClosed = false;
  #ready: () => void = () => {};

  private constructor(socket: Socket | TLSSocket, target: Target, listener: Listener) {
    this.#socket = socket;
    this.#target = target;
    this.#listener = listener;
    socket.on('data', (chunk: Buffer) => this.#guard(() => this.#read(chunk)));
    socket.on('error', (error: Error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** Resolves when the server has said its settings. */
  static open(target: Target, listener: Listener): Promise<Connection> {
    const options = { ...target.address, noDelay: true };
    const socket =
      target.tls === undefined
        ? connect(options)
        : connectTls({ ...options, ...target.tls, host: '127.0.0.1', ALPNProtocols: ['h2'] });
    return new Promise((resolve, reject) => {
      const connection = new Connection(socket, target, {
        answer: (question, tag, verdict) => listener.answer(question, tag, verdict),
        failed: (error) => {
          reject(error);
          listener.failed(error);
        },
      });
      connection.#ready = () => resolve(connection);
      connection.#begin();
    });
  }

  /** Sends a request with the next `flush`; what does not fit into the windows waits. */
  ask(question: Question, tag: number): void {
    const { length } = question.body;
    if (length > 16_384 || length > this.#streamWindow) throw new Error('the body is too long');
    if (length > this.#window || this.#inFlight >= this.#maxStreams || this.#waiting.length > 0) {
      this.#waiting.push({ question, tag });
    } else this.#send({ question, tag });
  }

  flush(): void {
    if (this.#used === 0 || this.#isClosed) return;
    const out = this.#out;
    this.#socket.write(out.subarray(0, this.#used), () => this.#spare.push(out));
    this.#out = this.#spare.pop() ?? Buffer.allocUnsafe(outBytes);
    this.#used = 0;
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  #begin(): void {
    this.#out.write(preface, 0, 'latin1');
    this.#used = preface.length;
    const at = this.#frame(frame.settings, 0, 0, 12);
    this.#out.writeUInt16BE(setting.push, at);
    this.#out.writeUInt32BE(0, at + 2);
    this.#out.writeUInt16BE(setting.window, at + 6);
    this.#out.writeUInt32BE(maxWindow, at + 8);
    this.#grant(maxWindow - 65_535);
    this.flush();
  }

  #grant(bytes: number): void {
    const at = this.#frame(frame.window, 0, 0, 4);
    this.#out.writeUInt32BE(bytes, at);
  }

  /** Reserves a frame and gives where its payload begins. */
  #frame(type: number, flags: number, stream: number, length: number): number {
    if (this.#used + frameHeaderBytes + length > outBytes) this.flush();
    const out = this.#out;
    const at = this.#used;
    out[at] = length >> 16;
    out[at + 1] = length >> 8;
    out[at + 2] = length;
    out[at + 3] = type;
    out[at + 4] = flags;
    out.writeUInt32BE(stream, at + 5);
    this.#used = at + frameHeaderBytes + length;
    return at + frameHeaderBytes;
  }

  #send(asked: Asked): void {
    const { body, stamps } = asked.question;
    const stream = this.#nextStream;
    const block = stream === 1 ? this.#blocks?.first : this.#blocks?.later;
    if (block === undefined) throw new Error('asked before the settings were there');
    this.#nextStream += 2;
    this.#inFlight += 1;
    this.#asked[(stream >> 1) % slots] = asked;
    const ends = body.length === 0 ? flag.endHeaders | flag.endStream : flag.endHeaders;
    const headAt = this.#frame(frame.headers, ends, stream, block.length);
    block.copy(this.#out, headAt);
    if (body.length === 0) return;
    this.#window -= body.length;
    const at = this.#frame(frame.data, flag.endStream, stream, body.length);
    body.copy(this.#out, at);
    this.#stamp = (this.#stamp + 1) % 100_000_000;
    for (const stamp of stamps) writeDigits(this.#out, at + stamp, this.#stamp);
  }

  #read(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (data.length - at >= frameHeaderBytes) {
      const length = data.readUIntBE(at, 3);
      const start = at + frameHeaderBytes;
      if (data.length - start < length) break;
      this.#receive(data, start, start + length, data[at + 3] ?? 0, data[at + 4] ?? 0);
      at = start + length;
    }
    this.#rest = data.subarray(at);
    this.flush();
  }

  #receive(data: Buffer, from: number, to: number, type: number, flags: number): void {
    const stream = data.readUInt32BE(from - 4) & maxWindow;
    if (type === frame.data) this.#receiveData(data, from, to, stream, flags);
    else if (type === frame.headers) this.#receiveHead(data, from, to, stream, flags);
    else if (type === frame.window) {
      if (stream === 0) this.#window += data.readUInt32BE(from);
      this.#sendWaiting();
    } else if (type === frame.settings && (flags & flag.ack) === 0) {
      this.#receiveSettings(data, from, to);
    } else if (type === frame.ping && (flags & flag.ack) === 0) {
      const at = this.#frame(frame.ping, flag.ack, 0, 8);
      data.copy(this.#out, at, from, to);
    } else if (type === frame.reset || type === frame.goAway) {
      throw new Error(`the server sent a frame of type ${type}`);
    }
  }

  #receiveSettings(data: Buffer, from: number, to: number): void {
    let tableBytes = 4096;
    for (let at = from; at < to; at += 6) {
      const value = data.readUInt32BE(at + 2);
      const name = data.readUInt16BE(at);
      if (name === setting.tableSize) tableBytes = value;
      else if (name === setting.streams) this.#maxStreams = value;
      else if (name === setting.window) this.#streamWindow = value;
    }
    this.#frame(frame.settings, flag.ack, 0, 0);
    this.flush();
    this.#blocks ??= headBlocks(this.#target.head, tableBytes);
    this.#ready();
  }

  #receiveData(data: Buffer, from: number, to: number, stream: number, flags: number): void {
    if ((flags & flag.padded) !== 0) throw new Error('the server pads its frames');
    this.#unacknowledged += to - from;
    if (this.#unacknowledged > topUpBytes) {
      this.#grant(this.#unacknowledged);
      this.#unacknowledged = 0;
    }
    if (this.#target.answers === 'grpc' && to > from) {
      const before = this.#parts.get(stream);
      if (before !== undefined || !isWholeMessage(data, from, to)) {
        this.#receivePart(Buffer.concat([before ?? noBytes, data.subarray(from, to)]), stream);
      } else this.#judge(data, from + 5, to, stream);
    }
    if ((flags & flag.endStream) !== 0) {
      if (this.#target.answers === 'grpc') throw new Error('an answer without trailers');
      this.#finish(stream);
    }
  }

  #receivePart(message: Buffer, stream: number): void {
    if (!isWholeMessage(message, 0, message.length)) {
      this.#parts.set(stream, message);
      return;
    }
    this.#parts.delete(stream);
    this.#judge(message, 5, message.length, stream);
  }

  #judge(data: Buffer, from: number, to: number, stream: number): void {
    const slot = (stream >> 1) % slots;
    const verdict = verdictOf(data, from, to);
    this.#verdicts[slot] = verdict;
    this.#hold(this.#asked[slot]?.question, verdict, () => printable(data.subarray(from, to)));
  }

  /** Holds an answer to what was wanted. */
  #hold(question: Question | undefined, verdict: Verdict, text: () => string): void {
    if (verdict === question?.want || (question?.want === 'either' && verdict !== 'wrong')) return;
    throw new Void(`${verdict} where ${question?.want} is right, the run is void: ${text()}`);
  }

  #receiveHead(data: Buffer, from: number, to: number, stream: number, flags: number): void {
    if ((flags & flag.endHeaders) === 0 || (flags & flag.padded) !== 0) {
      throw new Error('the server continues or pads its heads');
    }
    const start = (flags & flag.priority) === 0 ? from : from + 5;
    const head = this.#reader.read(data.subarray(start, to));
    const ends = (flags & flag.endStream) !== 0;
    if (this.#target.answers === 'http') {
      const slot = (stream >> 1) % slots;
      const verdict = httpVerdict(head);
      this.#verdicts[slot] = verdict;
      this.#hold(this.#asked[slot]?.question, verdict, () => JSON.stringify([...head]));
    } else if (ends ? head.get('grpc-status') !== '0' : head.get(':status') !== '200') {
      throw new Error(`the call failed: ${JSON.stringify([...head])}`);
    }
    if (ends) this.#finish(stream);
  }

  #finish(stream: number): void {
    const slot = (stream >> 1) % slots;
    const asked = this.#asked[slot];
    if (asked === undefined) throw new Error('an answer to a question that was not asked');
    const verdict = this.#verdicts[slot] ?? 'wrong';
    this.#asked[slot] = undefined;
    this.#verdicts[slot] = 'wrong';
    this.#inFlight -= 1;
    this.#listener.answer(asked.question, asked.tag, verdict);
    if (this.#waiting.length > 0) this.#sendWaiting();
  }

  #sendWaiting(): void {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || this.#inFlight >= this.#maxStreams) return;
      if (first.question.body.length > this.#window) return;
      this.#waiting.shift();
      this.#send(first);
    }
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #fail(error: Error): void {
    if (this.#isClosed) return;
    this.close();
    this.#listener.failed(error);
  }
}

/** Raised by an answer that is not the one that was wanted: the whole run is worth nothing. */
export class Void extends Error {}

const printable = (bytes: Buffer) => bytes.toString('latin1').replace(/[^ -~]+/g, ' ');
const noBytes = Buffer.alloc(0);

function isWholeMessage(data: Buffer, from: number, to: number): boolean {
  return to - from >= 5 && data[from] === 0 && data.readUInt32BE(from + 1) === to - from - 5;
}

function httpVerdict(head: Head): Verdict {
  const status = head.get(':status');
  if (status === '200') return 'permit';
  return status === '401' || status === '403' ? 'deny' : 'wrong';
}

function writeDigits(out: Buffer, at: number, value: number): void {
  let rest = value;
  for (let digit = at + 7; digit >= at; digit -= 1) {
    out[digit] = 48 + (rest % 10);
    rest = (rest / 10) | 0;
  }
}
