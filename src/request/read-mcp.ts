import { Refusal } from '../errors.js';
import { isJsonObject, type JsonObject, type JsonValue, member } from '../json/json-value.js';
import { foldCase } from '../json/parse-json.js';
import { filterArguments, filterFault, filterMessage } from './mcp-filter.js';
import { mcpHeaderFault } from './mcp-headers.js';
import { isJsonType, parseBody } from './read-body.js';
import type { HttpRequest, McpMessage } from './request.js';

/** JSON-RPC error codes of a message that is refused (JSON-RPC 2.0 §5.1; MCP 2026-07-28). */
export const jsonRpc = { parse: -32700, invalid: -32600, headerMismatch: -32020 } as const;
export type JsonRpcCode = (typeof jsonRpc)[keyof typeof jsonRpc];

export type McpId = string | number | null;

/** `mcp_malformed`, with what a JSON-RPC error answer needs. */
export class McpRefusal extends Refusal {
  readonly jsonRpcCode: JsonRpcCode;
  readonly id: McpId;
  constructor(detail: string, jsonRpcCode: JsonRpcCode, id: McpId) {
    super('mcp_malformed', detail);
    this.jsonRpcCode = jsonRpcCode;
    this.id = id;
  }
}

/**
 * Reads an MCP request (Streamable HTTP): the one JSON-RPC message of a POST, from the whole body
 * or, where Envoy sends none, from what its MCP filter wrote. A batch and everything that two
 * parsers could read differently is refused. GET and DELETE carry no message. A client's answer to
 * the server (until 2025-11-25) has the method `response`.
 */
export function readMcp(request: HttpRequest): McpMessage | McpRefusal {
  if (request.method === 'GET' || request.method === 'DELETE') return { kind: 'none' };
  if (request.method !== 'POST') return invalid('MCP is spoken by POST, GET and DELETE');
  const message = readMessage(request);
  if (message instanceof McpRefusal) return message;
  const fault = mcpHeaderFault(request.headers, message);
  if (fault === undefined) return message;
  return new McpRefusal(fault, jsonRpc.headerMismatch, message.id ?? null);
}

function invalid(detail: string, id: McpId = null): McpRefusal {
  return new McpRefusal(detail, jsonRpc.invalid, id);
}

type Message = McpMessage & { kind: 'message' };

function readMessage(request: HttpRequest): Message | McpRefusal {
  const { body } = request;
  if (body.state === 'absent') return invalid('the request has no message');
  if (body.state === 'unknown') {
    const value = body.isSent ? undefined : filterMessage(request.envoy.metadata);
    if (value !== undefined) return readJsonRpc(value, false);
    return invalid(`the body is not known whole: ${body.why}`);
  }
  if (!isJsonType(request.headers.get('content-type')?.[0])) {
    return invalid('the content type is not application/json');
  }
  const parsed = parseBody(body.bytes);
  if (!parsed.ok) {
    return new McpRefusal(`the message cannot be read: ${parsed.why}`, jsonRpc.parse, null);
  }
  const message = readJsonRpc(parsed.value, true);
  if (message instanceof McpRefusal) return message;
  const fault = filterFault(request.envoy.metadata, message);
  return fault === undefined ? message : invalid(fault, message.id ?? null);
}

/** What rules call the answer that a client posts to a request of the server. */
const response = 'response';

/** @param isWhole whether absent arguments are none, rather than not known */
function readJsonRpc(value: JsonValue, isWhole: boolean): Message | McpRefusal {
  if (!isJsonObject(value)) return invalid('the message is not one JSON-RPC object');
  const id = member(value, 'id');
  if (id !== undefined && typeof id !== 'string' && !Number.isSafeInteger(id)) {
    return invalid('the id is neither a string nor an integer');
  }
  const known = typeof id === 'string' || typeof id === 'number' ? id : undefined;
  const fail = (detail: string) => invalid(detail, known ?? null);
  const method = member(value, 'method');
  const params = member(value, 'params');
  if (hasVariant(value, envelope)) return fail('a member is written in another case');
  if (member(value, 'jsonrpc') !== '2.0') return fail('jsonrpc is not "2.0"');
  const answers = ['result', 'error'].filter((name) => Object.hasOwn(value, name));
  if (answers.length > 0) {
    if (known === undefined || answers.length > 1 || method !== undefined) {
      return fail('the message is not a request and not one response');
    }
    return { ...plain, id: known, method: response };
  }
  if (typeof method !== 'string' || method === '' || method === response) {
    return fail('there is no method');
  }
  if (params !== undefined && !isJsonObject(params)) return fail('params is not an object');
  if (hasVariant(params, paramNames)) return fail('a member of params is written in another case');
  return (
    readParams(known, method, params, isWhole) ?? fail(`the params of ${method} are not its own`)
  );
}

/** Members of a message and of its `params` that have a meaning of their own. */
const envelope = new Set(['jsonrpc', 'id', 'method', 'params', 'result', 'error']);
const paramNames = new Set(['name', 'uri', 'arguments', 'taskid', '_meta']);

/** Whether a key is one of these names to a parser that does not tell cases apart, and to others not. */
function hasVariant(object: JsonObject | undefined, names: ReadonlySet<string>): boolean {
  return Object.keys(object ?? {}).some((key) => {
    const folded = foldCase(key);
    return names.has(folded) && key !== folded && key !== 'taskId';
  });
}

const plain = {
  kind: 'message',
  tool: undefined,
  resource: undefined,
  prompt: undefined,
  arguments: undefined,
  hasAllArguments: true,
  params: undefined,
} as const;

/** Which member of `params` names the target, by method. */
const targets: ReadonlyMap<string, { member: string; as: 'tool' | 'resource' | 'prompt' }> =
  new Map([
    ['tools/call', { member: 'name', as: 'tool' }],
    ['prompts/get', { member: 'name', as: 'prompt' }],
    ['resources/read', { member: 'uri', as: 'resource' }],
    ['resources/subscribe', { member: 'uri', as: 'resource' }],
    ['resources/unsubscribe', { member: 'uri', as: 'resource' }],
  ]);

/** Whether a server may take the URI of a resource for another than its text says (RFC 3986 §5.2.4, §6.2.2). */
function isAmbiguousUri(uri: string): boolean {
  const [path = ''] = uri.split(/[?#]/);
  if (/[\\\s\p{Cc}]|%(?:2f|5c|25|[01][0-9a-f]|7f)/iu.test(path)) return true;
  const segments = path.replace(/%2e/gi, '.').split('/');
  return segments.some((segment) => segment === '.' || segment === '..');
}

function readParams(
  id: string | number | undefined,
  method: string,
  params: JsonObject | undefined,
  isWhole: boolean,
): Message | undefined {
  const target = targets.get(method);
  const message = { ...plain, id, method, params };
  if (target === undefined) return message;
  const name = member(params, target.member);
  if (typeof name !== 'string' || name === '') return undefined;
  if (target.as === 'resource') {
    return isAmbiguousUri(name) ? undefined : { ...message, resource: name };
  }
  const given = member(params, 'arguments');
  if (given !== undefined && !isJsonObject(given)) return undefined;
  const known = isWhole ? (given ?? {}) : filterArguments(given);
  return { ...message, [target.as]: name, arguments: known, hasAllArguments: isWhole };
}
