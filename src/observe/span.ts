import type { CheckRecord } from '../check.js';
import { denyCodesByStatus } from '../errors.js';
import type { TraceContext } from './trace-context.js';

/** One decision as a span, with nothing in it that was not verified or made here. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** '' where the request came with no trace. */
  readonly parentId: string;
  /** Epoch milliseconds. */
  readonly startMs: number;
  readonly durationUs: number;
  /** Whether Countersign, not the request, was at fault: the codes of 503. */
  readonly isError: boolean;
  readonly attributes: Readonly<Record<string, string>>;
}

const faults: ReadonlySet<string> = new Set(denyCodesByStatus[503]);

/** @param randomHex lower-case hex digits, twice as many as the bytes asked for */
export function spanOf(
  { decision, decisionId, revision, nowMs, durationUs }: CheckRecord,
  parent: TraceContext | undefined,
  randomHex: (bytes: number) => string,
): Span {
  const { effect, code, rule, principal } = decision;
  return {
    traceId: parent?.traceId ?? randomHex(16),
    spanId: randomHex(8),
    parentId: parent?.parentId ?? '',
    startMs: nowMs,
    durationUs,
    isError: faults.has(code),
    attributes: {
      'countersign.decision': decisionId,
      'countersign.effect': effect,
      'countersign.code': code,
      'countersign.rule': rule?.id ?? '',
      'countersign.policy': rule?.policy ?? '',
      'countersign.revision': revision,
      'countersign.principal': principal,
    },
  };
}

/** OTLP 1.x: SPAN_KIND_SERVER, STATUS_CODE_ERROR. */
const server = 2;
const failed = 2;

/**
 * An ExportTraceServiceRequest in OTLP's JSON: ids in hex, 64-bit numbers as text, field names in
 * lower camel case (OTLP specification, JSON Protobuf Encoding).
 */
export function encodeSpans(spans: readonly Span[], version: string): string {
  const attributes = { 'service.name': 'countersign', 'service.version': version };
  const scope = { name: 'countersign', version };
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: keyValues(attributes) },
        scopeSpans: [{ scope, spans: spans.map(encodeSpan) }],
      },
    ],
  });
}

function encodeSpan(span: Span): object {
  const startNs = BigInt(Math.trunc(span.startMs)) * 1_000_000n;
  const endNs = startNs + BigInt(Math.trunc(span.durationUs)) * 1_000n;
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentId === '' ? undefined : span.parentId,
    name: 'Check',
    kind: server,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: String(endNs),
    attributes: keyValues(span.attributes),
    status: span.isError ? { code: failed } : {},
  };
}

function keyValues(attributes: Readonly<Record<string, string>>): readonly object[] {
  return Object.entries(attributes)
    .filter(([, value]) => value !== '')
    .map(([key, stringValue]) => ({ key, value: { stringValue } }));
}
