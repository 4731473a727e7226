/** Frame types (RFC 9113 §6). */
export const frameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Frame flags; ACK and END_STREAM are the same bit of different frames. */
export const flag = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;

/** Error codes (RFC 9113 §7). */
export const errorCode = {
  noError: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export type ErrorCode = (typeof errorCode)[keyof typeof errorCode];

/** Settings (RFC 9113 §6.5.2). */
export const setting = {
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const frameHeadBytes = 9;
/** The longest frame either side sends: what nobody has to ask for (RFC 9113 §4.2). */
export const maxFrameBytes = 16_384;
export const maxWindow = 2 ** 31 - 1;
export const clientPreface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** Writes a frame at `at`; gives where the next one goes. */
export function writeFrame(
  into: Buffer,
  at: number,
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array,
): number {
  const { length } = payload;
  into[at] = length >> 16;
  into[at + 1] = (length >> 8) & 255;
  into[at + 2] = length & 255;
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(stream, at + 5);
  into.set(payload, at + frameHeadBytes);
  return at + frameHeadBytes + length;
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeadBytes + payload.length);
  writeFrame(bytes, 0, type, flags, stream, payload);
  return bytes;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.allocUnsafe(6 * settings.length);
  for (const [index, [id, value]] of settings.entries()) {
    payload.writeUInt16BE(id, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  }
  return frame(frameType.settings, 0, 0, payload);
}

export function windowUpdateFrame(stream: number, increment: number): Buffer {
  return frame(frameType.windowUpdate, 0, stream, uint32(increment));
}

export function rstStreamFrame(stream: number, code: ErrorCode): Buffer {
  return frame(frameType.rstStream, 0, stream, uint32(code));
}

export function goawayFrame(lastStream: number, code: ErrorCode): Buffer {
  return frame(frameType.goaway, 0, 0, Buffer.concat([uint32(lastStream), uint32(code)]));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
