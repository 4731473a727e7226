import { Refusal } from '../errors.js';
import { isJsonObject, type JsonObject, member } from '../json/json-value.js';
import { parseJson } from '../json/parse-json.js';

/** A compact JWS taken apart; nothing of it is verified. */
export interface CompactJws {
  readonly token: string;
  readonly algorithm: string;
  readonly keyId: string | undefined;
  readonly type: string | undefined;
  readonly header: JsonObject;
  readonly payload: JsonObject;
}

/** Header members by which a token would bring or fetch its own key, or change how it is read. */
const refusedMembers = ['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc', 'cty'];
const maxDepth = 32;

/**
 * Takes a compact JWS apart (RFC 7515 §3.1) with what BCP 225 leaves to the reader closed: three
 * canonical base64url parts (so one token has one spelling), strict JSON without duplicate keys,
 * no key material in the header (but for a DPoP proof, whose header brings its `jwk`).
 */
export function parseCompactJws(
  token: string,
  maxBytes: number,
  allowedMember?: 'jwk',
): CompactJws | Refusal {
  if (token.length > maxBytes) return malformed(`the token is longer than ${maxBytes} bytes`);
  const parts = token.split('.');
  const [head = '', body = '', signature = ''] = parts;
  if (parts.length !== 3) return malformed('the token is not a compact JWS of three parts');
  const header = parsePart(head, maxBytes);
  const payload = parsePart(body, maxBytes);
  if (typeof header === 'string') return malformed(`the header of the token: ${header}`);
  if (typeof payload === 'string') return malformed(`the payload of the token: ${payload}`);
  if (!isCanonical(signature)) return malformed('the signature is not base64url');
  const refused = refusedMembers.find(
    (name) => name !== allowedMember && Object.hasOwn(header, name),
  );
  if (refused !== undefined) return malformed(`the header of the token has "${refused}"`);
  const algorithm = member(header, 'alg');
  const keyId = member(header, 'kid');
  const type = member(header, 'typ');
  if (typeof algorithm !== 'string') return malformed('the token names no algorithm');
  if (keyId !== undefined && (typeof keyId !== 'string' || keyId === '')) {
    return malformed('the key id is not a text');
  }
  if (type !== undefined && typeof type !== 'string') return malformed('the type is not a text');
  return { token, algorithm, keyId, type, header, payload };
}

function malformed(detail: string): Refusal {
  return new Refusal('credential_malformed', detail);
}

function parsePart(part: string, maxBytes: number): JsonObject | string {
  if (part === '' || !isCanonical(part)) return 'it is not base64url';
  const parsed = parseJson(Buffer.from(part, 'base64url'), { maxDepth, maxBytes });
  if (!parsed.ok) return parsed.why;
  return isJsonObject(parsed.value) ? parsed.value : 'it is not an object';
}

/** Whether the text is the one base64url spelling of its bytes (RFC 4648 §3.5, §5). */
function isCanonical(text: string): boolean {
  return (
    /^[A-Za-z0-9_-]*$/.test(text) && Buffer.from(text, 'base64url').toString('base64url') === text
  );
}
