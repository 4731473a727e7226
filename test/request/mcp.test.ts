import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import { McpRefusal, readMcp } from '../../src/request/read-mcp.js';
import { readRequest } from '../../src/request/read-request.js';
import { checkRequest, type Given } from '../support/check-request.js';

const message = (more: object = {}, params: object = {}) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'read', ...params },
    ...more,
  });
const latest = {
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': 'tools/call',
  'mcp-name': 'read',
};

/** What was read as `method target`, or the JSON-RPC code of the refusal. */
function read(
  rawBody: string,
  headers: Record<string, string> = {},
  { isBodySent = true, ...given }: Given & { readonly isBodySent?: boolean } = {},
): string {
  const mark = isBodySent ? { 'x-envoy-auth-partial-body': 'false' } : {};
  const json = { 'content-type': 'application/json', ...mark };
  const request = readRequest(
    checkRequest({
      method: 'POST',
      path: '/mcp',
      rawBody,
      headers: { ...json, ...headers },
      ...given,
    }),
    { maxBodyBytes: 4096, trustedHops: 0 },
  );
  if (request instanceof Refusal || request.kind !== 'http') return 'no request';
  const mcp = readMcp(request);
  if (mcp instanceof McpRefusal) return `${mcp.code} ${mcp.jsonRpcCode} id ${mcp.id}`;
  if (mcp.kind === 'none') return 'none';
  return [mcp.method, mcp.tool ?? mcp.resource ?? mcp.prompt].filter(Boolean).join(' ');
}

const rows: readonly {
  name: string;
  body: string;
  headers?: Record<string, string>;
  want: string;
}[] = [
  { name: 'a tool call', body: message(), want: 'tools/call read' },
  {
    name: 'a resource',
    body: message({ method: 'resources/read' }, { uri: 'file:///x' }),
    want: 'resources/read file:///x',
  },
  { name: 'a prompt', body: message({ method: 'prompts/get' }), want: 'prompts/get read' },
  {
    name: 'a listing',
    body: '{"jsonrpc":"2.0","id":"a","method":"tools/list"}',
    want: 'tools/list',
  },
  {
    name: 'a notification',
    body: '{"jsonrpc":"2.0","method":"notifications/initialized"}',
    want: 'notifications/initialized',
  },
  {
    name: 'an unknown method is read as it is (E7)',
    body: message({ method: 'tools/Call' }),
    want: 'tools/Call',
  },
  { name: 'a batch (E4)', body: `[${message()}]`, want: 'mcp_malformed -32600 id null' },
  {
    name: 'a key given twice (E5)',
    body: message().replace('"name":"read"', '"name":"read","name":"delete"'),
    want: 'mcp_malformed -32700 id null',
  },
  { name: 'what is no JSON', body: '{', want: 'mcp_malformed -32700 id null' },
  {
    name: 'another version of JSON-RPC',
    body: message({ jsonrpc: '1.0' }),
    want: 'mcp_malformed -32600 id 1',
  },
  { name: 'an id that is null', body: message({ id: null }), want: 'mcp_malformed -32600 id null' },
  {
    name: 'a response to the server',
    body: '{"jsonrpc":"2.0","id":1,"result":{}}',
    want: 'response',
  },
  {
    name: 'an error response to the server',
    body: '{"jsonrpc":"2.0","id":"a","error":{"code":-1,"message":""}}',
    want: 'response',
  },
  {
    name: 'a response from 2026-07-28 on, which has none',
    body: '{"jsonrpc":"2.0","id":1,"result":{}}',
    headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'response' },
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'a response to nothing',
    body: '{"jsonrpc":"2.0","result":{}}',
    want: 'mcp_malformed -32600 id null',
  },
  {
    name: 'a result and an error at once',
    body: '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}',
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'a request that is called response',
    body: message({ method: 'response' }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'a method in two cases',
    body: message({ Method: 'tools/list' }),
    want: 'mcp_malformed -32700 id null',
  },
  {
    name: 'an argument in two cases',
    body: message({}, { arguments: { tenant: 'acme', Tenant: 'evil' } }),
    want: 'mcp_malformed -32700 id null',
  },
  {
    name: 'arguments in another case, which some servers read all the same',
    body: message({}, { Arguments: { a: 1 } }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'params with a long s, which some servers read all the same',
    body: message({ 'param\u017f': {} }),
    want: 'mcp_malformed -32700 id null',
  },
  {
    name: 'a task that the header names',
    body: message({ method: 'tasks/get' }, { taskId: 't-1' }),
    headers: { ...latest, 'mcp-method': 'tasks/get', 'mcp-name': 't-1' },
    want: 'tasks/get',
  },
  {
    name: 'another task than the header names',
    body: message({ method: 'tasks/get' }, { taskId: 't-1' }),
    headers: { ...latest, 'mcp-method': 'tasks/get', 'mcp-name': 't-2' },
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'a request and a response at once',
    body: message({ result: {} }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'a call without a tool',
    body: message({}, { name: undefined }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'a tool that is a number',
    body: message({}, { name: 5 }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'arguments that are a list',
    body: message({}, { arguments: [] }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'params that are a list',
    body: message({ params: [] }),
    want: 'mcp_malformed -32600 id 1',
  },
  {
    name: 'the headers of 2026-07-28, equal to the body',
    body: message(),
    headers: latest,
    want: 'tools/call read',
  },
  {
    name: 'a name in base64',
    body: message(),
    headers: { ...latest, 'mcp-name': '=?base64?cmVhZA==?=' },
    want: 'tools/call read',
  },
  {
    name: 'another name (E1)',
    body: message(),
    headers: { ...latest, 'mcp-name': 'delete' },
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'another method (E1)',
    body: message(),
    headers: { ...latest, 'mcp-method': 'tools/list' },
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'no method header',
    body: message(),
    headers: { 'mcp-protocol-version': '2026-07-28', 'mcp-name': 'read' },
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'headers of an older version are nobody’s word (E2)',
    body: message(),
    headers: { ...latest, 'mcp-protocol-version': '2025-06-18', 'mcp-name': 'x' },
    want: 'tools/call read',
  },
  {
    name: 'headers without a version (E2)',
    body: message(),
    headers: { 'mcp-name': 'x' },
    want: 'tools/call read',
  },
  {
    name: 'a version in the body alone',
    body: message({}, { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } }),
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'a version that is none',
    body: message(),
    headers: { 'mcp-protocol-version': 'next' },
    want: 'mcp_malformed -32020 id 1',
  },
  {
    name: 'another content type',
    body: message(),
    headers: { 'content-type': 'text/plain' },
    want: 'mcp_malformed -32600 id null',
  },
  {
    name: 'a part of a body',
    body: message(),
    headers: { 'x-envoy-auth-partial-body': 'true' },
    want: 'mcp_malformed -32600 id null',
  },
];

/** What Envoy's MCP filter would have written (ENVOY-MEASURED.md 4). */
const filter = (written: object) => ({ metadata: { 'envoy.filters.http.mcp': written as never } });
const sure = {
  is_mcp_request: true,
  jsonrpc: '2.0',
  method: 'tools/call',
  id: 1,
  params: { name: 'read' },
};

describe('an MCP message', () => {
  for (const { name, body, headers, want } of rows) {
    it(`${name}: ${want}`, () => expect(read(body, headers)).to.equal(want));
  }

  it('is none in GET and DELETE (E14)', () => {
    expect(read('', {}, { method: 'GET' })).to.equal('none');
    expect(read('', {}, { method: 'DELETE' })).to.equal('none');
    expect(read(message(), {}, { method: 'PUT' })).to.match(/^mcp_malformed/);
  });

  it("must be what Envoy's MCP filter read, where that says anything", () => {
    expect(read(message(), {}, filter(sure))).to.equal('tools/call read');
    expect(read(message(), {}, filter({}))).to.equal('tools/call read');
    expect(read(message(), {}, filter({ ...sure, method: 'tools/list' }))).to.match(/-32600/);
    expect(read(message(), {}, filter({ ...sure, params: { name: 'x' } }))).to.match(/-32600/);
    const unsure = { ...sure, passthrough_reason: 'mcp_duplicate_keys' };
    expect(read(message(), {}, filter(unsure))).to.match(/-32600/);
  });

  // As Envoy sends it where `with_request_body` is off: a length, and no byte.
  const unsent = { 'content-length': '99' };
  const written = (more: object): string =>
    read('', unsent, { ...filter({ ...sure, ...more }), isBodySent: false });

  it("is the filter's, where Envoy sends no body and the filter is sure", () => {
    expect(written({})).to.equal('tools/call read');
    expect(written({ method: 'tools/list', params: undefined })).to.equal('tools/list');
    expect(written({ is_exceeding_limit: true })).to.match(/-32600/);
    expect(written({ passthrough_reason: 'mcp_duplicate_keys' })).to.match(/-32600/);
    expect(written({ method: '__jsonrpc_response' })).to.match(/-32600/);
    expect(written({ is_mcp_request: false })).to.match(/-32600/);
    expect(read('', unsent, { isBodySent: false })).to.match(/-32600/);
  });

  it("is not the filter's, where Envoy says that there is no body, or sends a part of it", () => {
    expect(read('', {}, filter(sure))).to.match(/-32600/);
    const part = { 'x-envoy-auth-partial-body': 'true' };
    expect(read(message(), part, filter(sure))).to.match(/-32600/);
    expect(read('', { ...unsent, ...part }, filter(sure))).to.match(/-32600/);
  });
});
