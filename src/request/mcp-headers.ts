import { isJsonObject, member } from '../json/json-value.js';
import type { Headers, McpMessage } from './request.js';

/** The first revision whose headers repeat the body (MCP 2026-07-28, Transports). */
const firstWithHeaders = '2026-07-28';

/**
 * Why the MCP headers contradict the body, or undefined. From protocol 2026-07-28 on `Mcp-Method`
 * must be there and equal the method, `Mcp-Name` the tool, prompt, resource or task; before, both are
 * nobody's word and are ignored.
 */
export function mcpHeaderFault(
  headers: Headers,
  message: McpMessage & { kind: 'message' },
): string | undefined {
  const versions = headers.get('mcp-protocol-version');
  const version = versions?.[0]?.trim();
  if (versions?.some((other) => other.trim() !== version)) {
    return 'mcp-protocol-version is given twice';
  }
  const meta = member(message.params, '_meta');
  const inBody = isJsonObject(meta)
    ? member(meta, 'io.modelcontextprotocol/protocolVersion')
    : undefined;
  if (version !== undefined && !/^\d{4}-\d{2}-\d{2}$/.test(version)) {
    return 'mcp-protocol-version is no revision';
  }
  const isNew = version !== undefined && version >= firstWithHeaders;
  if (!isNew) {
    const isClaimed = typeof inBody === 'string' && inBody >= firstWithHeaders;
    return isClaimed ? 'the body names another protocol version than the header' : undefined;
  }
  if (inBody !== undefined && inBody !== version) {
    return 'the body names another protocol version than the header';
  }
  if (message.method === 'response') return 'a response is not sent from 2026-07-28 on';
  if (single(headers, 'mcp-method') !== message.method) return 'mcp-method is not the method';
  const name = message.tool ?? message.prompt ?? message.resource ?? taskOf(message);
  if (name !== undefined && single(headers, 'mcp-name') !== name) {
    return 'mcp-name is not the tool, prompt, resource or task';
  }
  return undefined;
}

/** The task that a message of the tasks extension is about. */
function taskOf({ method, params }: McpMessage & { kind: 'message' }): string | undefined {
  const task = method.startsWith('tasks/') ? member(params, 'taskId') : undefined;
  return typeof task === 'string' ? task : undefined;
}

/** The one value of a header, its `=?base64?…?=` form decoded; undefined when there are several. */
function single(headers: Headers, name: string): string | undefined {
  const lines = headers.get(name);
  if (lines === undefined || lines.length !== 1) return undefined;
  const value = (lines[0] ?? '').trim();
  const encoded = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(value)?.[1];
  return encoded === undefined ? value : Buffer.from(encoded, 'base64').toString('utf8');
}
