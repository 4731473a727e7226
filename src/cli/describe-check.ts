import type { Seen } from '../check.js';
import { Refusal } from '../errors.js';
import { callerIds } from '../identity/caller.js';
import { parseQuery } from '../request/query.js';
import type { Body, McpMessage } from '../request/request.js';

/** How the request was read, for a person; no credential, no value of a query, no body. */
export function describeRequest({ request, mcp }: Seen): object | undefined {
  if (request === undefined) return undefined;
  const source = request.client?.ip;
  const sni = request.sni === '' ? undefined : request.sni;
  if (request.kind === 'tcp') {
    return { connection: true, port: request.destination.port, sni, source };
  }
  const { method, host, path, grpc, upgrade, rawQuery, body } = request;
  return {
    method,
    host: host.name,
    port: host.port,
    path: path.raw,
    segments: path.segments,
    // A value may be a credential.
    query: rawQuery === '' ? undefined : [...(parseQuery(rawQuery)?.keys() ?? ['(ambiguous)'])],
    source,
    sni,
    grpc,
    upgrade: upgrade.length > 0 ? upgrade : undefined,
    body: body.state === 'absent' ? undefined : describeBody(body),
    mcp: mcp?.kind === 'message' ? describeMessage(mcp) : undefined,
  };
}

function describeBody(body: Exclude<Body, { state: 'absent' }>): string {
  return body.state === 'whole' ? `${body.bytes.length} bytes` : `not known: ${body.why}`;
}

function describeMessage(message: McpMessage & { kind: 'message' }): object {
  const { method, tool, resource, prompt, arguments: given } = message;
  return { method, tool, resource, prompt, arguments: given };
}

/** Who the caller is and from what, a line each. */
export function describeCaller({ caller, approval }: Seen): readonly string[] {
  if (caller === undefined) return [];
  const { peer, token } = caller;
  const lines = callerIds(caller).length === 0 ? ['nobody: no credential was shown'] : [];
  if (peer !== undefined) {
    const checked = peer.certificate === undefined ? 'by Envoy’s word' : 'certificate checked';
    lines.push(`${peer.spiffeId.text} (mTLS peer, ${checked})`);
  }
  if (token !== undefined) {
    lines.push(`${token.id} (${token.kind} of ${token.issuer}, verified; proof: ${token.proof})`);
  }
  if (approval instanceof Refusal) lines.push(`approval: ${approval.detail}`);
  else if (approval !== undefined) {
    lines.push(`approval ${approval.jti} by ${approval.approver}, from ${approval.board}`);
  }
  return lines;
}
