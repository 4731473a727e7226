import { expect } from 'chai';
import { describe, it } from 'mocha';
import { Refusal } from '../../src/errors.js';
import { readRequest } from '../../src/request/read-request.js';
import { checkRequest, type Given } from '../support/check-request.js';

const options = { maxBodyBytes: 32, trustedHops: 0 };
const read = (given: Given) => readRequest(checkRequest(given), options);
const code = (given: Given) => {
  const request = read(given);
  return request instanceof Refusal ? request.code : 'read';
};

const rows: readonly { name: string; given: Given; want: string }[] = [
  { name: 'a plain request', given: {}, want: 'read' },
  { name: 'a lower-case method (89)', given: { method: 'get' }, want: 'request_malformed' },
  { name: 'a method with a blank (89)', given: { method: 'GET ' }, want: 'request_malformed' },
  {
    name: 'an unknown method is read, and no rule names it (89)',
    given: { method: 'FOO' },
    want: 'read',
  },
  { name: 'CONNECT (86)', given: { method: 'CONNECT', path: '' }, want: 'request_malformed' },
  {
    name: 'a host in another case, with a port and a dot (92)',
    given: { host: 'API.Example.:443' },
    want: 'read',
  },
  {
    name: 'a host with userinfo (92)',
    given: { host: 'u:p@api.example' },
    want: 'request_malformed',
  },
  { name: 'two hosts', given: { host: 'a.example,b.example' }, want: 'header_ambiguous' },
  { name: 'an IPv6 host (92)', given: { host: '[::1]:80' }, want: 'read' },
  {
    name: 'a :path that differs (35)',
    given: { path: '/a', headers: { ':path': '/b' } },
    want: 'path_ambiguous',
  },
  {
    name: 'a :method that differs (35)',
    given: { headers: { ':method': 'POST' } },
    want: 'header_ambiguous',
  },
  {
    name: 'an :authority that differs (35)',
    given: { headers: { ':authority': 'x' } },
    want: 'header_ambiguous',
  },
  {
    name: 'both header encodings (33)',
    given: { headers: { a: '1' }, lines: [['a', '1']] },
    want: 'request_malformed',
  },
  {
    name: 'two content lengths',
    given: {
      lines: [
        ['content-length', '1'],
        ['content-length', '2'],
      ],
    },
    want: 'header_ambiguous',
  },
  {
    name: 'two content types, joined',
    given: { headers: { 'content-type': 'a/b,c/d' } },
    want: 'header_ambiguous',
  },
  {
    name: 'a comma inside a quoted boundary',
    given: { headers: { 'content-type': 'multipart/form-data; boundary="a,b"' } },
    want: 'read',
  },
  {
    name: 'a method override (90)',
    given: { headers: { 'x-http-method-override': 'DELETE' } },
    want: 'header_ambiguous',
  },
  {
    name: 'an override with the same method',
    given: { headers: { 'x-http-method-override': 'GET' } },
    want: 'read',
  },
  {
    name: 'no header without pseudo-headers is missed (102)',
    given: { headers: {} },
    want: 'read',
  },
];

const json = { 'content-type': 'application/json' };
const mark = 'x-envoy-auth-partial-body';
const bodies: readonly { name: string; given: Given; want: string }[] = [
  { name: 'none', given: {}, want: 'absent' },
  {
    name: 'a whole one',
    given: { method: 'POST', rawBody: 'abc', headers: { [mark]: 'false', ...json } },
    want: 'whole',
  },
  {
    name: 'a whole one without the mark',
    given: { method: 'POST', rawBody: 'abc' },
    want: 'whole',
  },
  { name: 'an empty one', given: { method: 'POST', headers: { [mark]: 'false' } }, want: 'absent' },
  { name: 'one that Envoy did not send (103)', given: { method: 'POST' }, want: 'unknown' },
  {
    name: 'a part (104)',
    given: { method: 'POST', rawBody: 'abc', headers: { [mark]: 'true' } },
    want: 'unknown',
  },
  {
    name: "one that reaches Envoy's limit (105)",
    given: { method: 'POST', rawBody: 'x'.repeat(32), headers: { [mark]: 'false' } },
    want: 'unknown',
  },
  {
    name: 'one below the limit',
    given: { method: 'POST', rawBody: 'x'.repeat(31), headers: { [mark]: 'false' } },
    want: 'whole',
  },
  {
    name: 'one of another content-length (106)',
    given: { method: 'POST', rawBody: 'abc', headers: { [mark]: 'false', 'content-length': '9' } },
    want: 'unknown',
  },
  {
    name: 'one of which more was buffered',
    given: { method: 'POST', rawBody: 'abc', size: 9, headers: { [mark]: 'false' } },
    want: 'unknown',
  },
  {
    name: 'one in both encodings (34)',
    given: { method: 'POST', rawBody: 'abc', body: 'abc' },
    want: 'unknown',
  },
  {
    name: 'a text in which Envoy replaced bytes (107)',
    given: { method: 'POST', body: 'h!!', size: 3 },
    want: 'unknown',
  },
  { name: 'a text', given: { method: 'POST', body: 'abc', size: 3 }, want: 'whole' },
  {
    name: 'a compressed one (108)',
    given: { method: 'POST', rawBody: 'abc', headers: { 'content-encoding': 'gzip' } },
    want: 'unknown',
  },
];

describe('the head of a request', () => {
  for (const { name, given, want } of rows) {
    it(`${name}: ${want}`, () => expect(code(given)).to.equal(want));
  }

  it('is canonical: host in lower case, without port and dot', () => {
    const request = read({ host: 'API.Example.:443' });
    expect(request).to.have.deep.property('host', { name: 'api.example', port: 443 });
  });

  it('keeps header lines apart, bytes as they are, and Envoy’s mark out (96)', () => {
    const request = read({
      lines: [
        ['X-A', '1'],
        ['x-a', '2'],
        [mark, 'false'],
      ],
    });
    expect(request)
      .to.have.property('headers')
      .that.deep.equals(new Map([['x-a', ['1', '2']]]));
  });

  it('is the same for callers that send no id and no scheme (145)', () => {
    const { attributes } = checkRequest({ path: '/a' });
    const request = readRequest(checkRequest({ path: '/a', id: '', scheme: '' }), options);
    expect(attributes).to.not.equal(undefined);
    expect(request).to.have.nested.property('path.segments').that.deep.equals(['a']);
  });
});

describe('the body of a request', () => {
  for (const { name, given, want } of bodies) {
    it(`${name}: ${want}`, () => expect(read(given)).to.have.nested.property('body.state', want));
  }
});
