/** The caller's place in a trace (W3C Trace Context §3.2). */
export interface TraceContext {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 of them. */
  readonly parentId: string;
  readonly isSampled: boolean;
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/**
 * Reads `traceparent`. What is no valid one counts as none, as the standard asks: version ff, all-zero
 * ids, upper case, more than four fields in version 00. A later version is read as far as 00 goes.
 * @param lines the values of the header; more than one is none
 */
export function parseTraceparent(lines: readonly string[] | undefined): TraceContext | undefined {
  const [line, second] = lines ?? [];
  if (line === undefined || second !== undefined) return undefined;
  const [, version, traceId = '', parentId = '', flags = '', more] = form.exec(line) ?? [];
  if (version === undefined || version === 'ff') return undefined;
  if (version === '00' && more !== undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined;
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
