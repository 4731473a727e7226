import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import type { Struct } from '../wire/struct.js';
import type { McpMessage } from './request.js';

const namespace = 'envoy.filters.http.mcp';

/** How the filter names the method of a message that is a response as well. */
const responseMethod = '__jsonrpc_response';

/**
 * The JSON-RPC message as Envoy's MCP filter wrote it, for routes on which Envoy sends no body;
 * undefined where the filter is not sure of it (ENVOY-MEASURED.md 4: `status` is never a verdict).
 */
export function filterMessage(metadata: ReadonlyMap<string, Struct>): JsonObject | undefined {
  const written = metadata.get(namespace);
  return written !== undefined && isSure(written) ? written : undefined;
}

/** Why the filter's word contradicts the body, or undefined when it does not (or says nothing). */
export function filterFault(
  metadata: ReadonlyMap<string, Struct>,
  message: McpMessage & { kind: 'message' },
): string | undefined {
  const written = metadata.get(namespace);
  if (written === undefined || Object.keys(written).length === 0) return undefined;
  if (!isSure(written)) return "Envoy's MCP filter could not read the message";
  if (member(written, 'method') !== message.method) {
    return "the method is not the one that Envoy's MCP filter read";
  }
  const params = member(written, 'params');
  const name = isJsonObject(params) ? (member(params, 'name') ?? member(params, 'uri')) : undefined;
  const target = message.tool ?? message.prompt ?? message.resource;
  if (name !== undefined && target !== undefined && name !== target) {
    return "the target is not the one that Envoy's MCP filter read";
  }
  return undefined;
}

/**
 * Of arguments that the filter wrote, those it writes as they are. It drops lists, also inside of
 * objects, and makes every number a double, so that some may be missing and an object may be less
 * than it was.
 */
export function filterArguments(written: JsonValue | undefined): JsonObject {
  if (!isJsonObject(written)) return {};
  return Object.fromEntries(Object.entries(written).filter(([, value]) => isUnchanged(value)));
}

function isUnchanged(value: JsonValue): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value);
  return typeof value === 'string' || typeof value === 'boolean';
}

function isSure(written: Struct): boolean {
  return (
    member(written, 'is_mcp_request') === true &&
    member(written, 'method') !== responseMethod &&
    member(written, 'passthrough_reason') === undefined &&
    member(written, 'is_exceeding_limit') === undefined
  );
}
