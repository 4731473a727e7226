import {
  type AttributeContext,
  readAttributeContext,
  writeAttributeContext,
} from './attribute-context.js';
import { type HeaderOverwrite, writeHeaderOverwrite } from './base.js';
import type { Decoded } from './decoded.js';
import { decode, type Reader, readFields, readOnce } from './reader.js';
import { type Struct, writeStruct } from './struct.js';
import { encode, type Writer, writeMessage, writeString } from './writer.js';

/** envoy.service.auth.v3.CheckRequest. */
export interface CheckRequest {
  readonly attributes: AttributeContext | undefined;
}

/**
 * envoy.service.auth.v3.CheckResponse in the only two shapes that Countersign sends (ENVOY.md 1.2):
 * an answer with neither, or with both, cannot be written in this type. `error_response` does not
 * exist here, because Envoy's `failure_mode_allow` would turn it into an allow.
 */
export type CheckResponse =
  | {
      readonly kind: 'ok';
      readonly headers: readonly HeaderOverwrite[];
      readonly headersToRemove: readonly string[];
      readonly dynamicMetadata: Struct;
    }
  | {
      readonly kind: 'denied';
      /** google.rpc.Code, never 0. */
      readonly status: DeniedRpcCode;
      /** HTTP status 400–599. */
      readonly httpStatus: number;
      readonly headers: readonly HeaderOverwrite[];
      readonly body: string;
      readonly dynamicMetadata: Struct;
    };

/** google.rpc.Code: INVALID_ARGUMENT 3, PERMISSION_DENIED 7, UNAVAILABLE 14, UNAUTHENTICATED 16. */
export type DeniedRpcCode = 3 | 7 | 14 | 16;

/**
 * Reads a CheckRequest. Total: any bytes give a value or a reason; bounded in depth (64 levels of
 * Struct) and headers (1,000). Its size is bounded by the server.
 */
export function decodeCheckRequest(bytes: Uint8Array): Decoded<CheckRequest> {
  return decode(bytes, readCheckRequest);
}

function readCheckRequest(reader: Reader): CheckRequest {
  let attributes: AttributeContext | undefined;
  readFields(reader, (field) => {
    if (field !== 1) return false;
    attributes = readOnce(reader, attributes, readAttributeContext);
    return true;
  });
  return { attributes };
}

/** Writes a CheckRequest as Envoy does: what tests, the quick start and the load generator send. */
export function encodeCheckRequest(request: CheckRequest): Uint8Array {
  return encode((writer) => {
    const { attributes } = request;
    if (attributes !== undefined) {
      writeMessage(writer, 1, (inner) => writeAttributeContext(inner, attributes));
    }
  });
}

/** Writes a CheckResponse. `status` is always there, also for code 0 (ENVOY.md 5, row 19). */
export function encodeCheckResponse(response: CheckResponse): Uint8Array {
  return encode((writer) => {
    writeMessage(writer, 1, (status) => {
      if (response.kind === 'denied') status.writeInt(1, response.status);
    });
    if (response.kind === 'ok') writeMessage(writer, 3, (inner) => writeOk(inner, response));
    else writeMessage(writer, 2, (inner) => writeDenied(inner, response));
    writeMessage(writer, 4, (inner) => writeStruct(inner, response.dynamicMetadata));
  });
}

function writeOk(writer: Writer, ok: CheckResponse & { kind: 'ok' }): void {
  for (const header of ok.headers) {
    writeMessage(writer, 2, (inner) => writeHeaderOverwrite(inner, header));
  }
  for (const name of ok.headersToRemove) writeString(writer, 5, name);
}

function writeDenied(writer: Writer, denied: CheckResponse & { kind: 'denied' }): void {
  writeMessage(writer, 1, (status) => status.writeInt(1, denied.httpStatus));
  for (const header of denied.headers) {
    writeMessage(writer, 2, (inner) => writeHeaderOverwrite(inner, header));
  }
  writeString(writer, 3, denied.body);
}
