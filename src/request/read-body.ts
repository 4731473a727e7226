import { Refusal } from '../errors.js';
import type { JsonValue } from '../json/json-value.js';
import { type ParsedJson, parseJson } from '../json/parse-json.js';
import type { HttpRequest } from './request.js';

const maxDepth = 64;

/**
 * The body as JSON, for rules that read it; undefined when the request has none. `body_unreadable`
 * when it is not whole, not declared as JSON, or not JSON that every parser reads alike.
 */
export function readJsonBody(request: HttpRequest): JsonValue | undefined | Refusal {
  const { body, headers } = request;
  if (request.upgrade.length > 0) return unreadable('the request upgrades');
  if (body.state === 'absent') return undefined;
  if (body.state === 'unknown') return unreadable(`the body is not known whole: ${body.why}`);
  const type = headers.get('content-type')?.[0];
  if (!isJsonType(type)) return unreadable('the content type is not JSON');
  const parsed = parseBody(body.bytes);
  return parsed.ok ? parsed.value : unreadable(`the body cannot be read: ${parsed.why}`);
}

export function parseBody(bytes: Uint8Array): ParsedJson {
  return parseJson(bytes, { maxDepth, maxBytes: Number.MAX_SAFE_INTEGER, foldKeys: true });
}

function unreadable(detail: string): Refusal {
  return new Refusal('body_unreadable', detail);
}

/** `application/json` or `+json` (RFC 6839 §3.1), in UTF-8 if it names a charset. */
export function isJsonType(type: string | undefined): boolean {
  const pattern = /^application\/(?:[a-z0-9!#$&^_.+-]+\+)?json\s*(?:;\s*charset="?utf-8"?\s*)?$/i;
  return type !== undefined && pattern.test(type.trim());
}
