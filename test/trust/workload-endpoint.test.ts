import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseConfig } from '../../src/config/parse-config.js';
import { parseWorkloadEndpoint } from '../../src/trust/workload-endpoint.js';

const refused = 'refused';
/** SPIFFE Workload Endpoint §4. */
const rows: readonly { address: string; want: string }[] = [
  { address: 'unix:///run/spire/agent.sock', want: 'unix:///run/spire/agent.sock' },
  { address: 'unix:/run/spire/agent.sock', want: 'unix:///run/spire/agent.sock' },
  { address: 'tcp://127.0.0.1:8089', want: 'ipv4:127.0.0.1:8089' },
  { address: 'tcp://[::1]:8089', want: 'ipv6:[::1]:8089' },
  { address: '', want: refused },
  { address: '/run/spire/agent.sock', want: refused },
  { address: 'unix://run/spire/agent.sock', want: refused },
  { address: 'unix:////agent.sock', want: refused },
  { address: 'unix:///agent.sock?x', want: refused },
  { address: 'unix:///agent.sock#x', want: refused },
  { address: 'unix:///a%20b.sock', want: refused },
  { address: 'UNIX:///agent.sock', want: refused },
  { address: 'http://127.0.0.1:8089', want: refused },
  { address: 'tcp://localhost:8089', want: refused },
  { address: 'tcp://127.0.0.1', want: refused },
  { address: 'tcp://127.0.0.1:0', want: refused },
  { address: 'tcp://127.0.0.1:65536', want: refused },
  { address: 'tcp://127.0.0.1:8089/', want: refused },
  { address: 'tcp://user@127.0.0.1:8089', want: refused },
  { address: 'tcp://127.0.0.1:8089?x', want: refused },
  { address: 'tcp://[::1%eth0]:8089', want: refused },
  { address: 'tcp://[127.0.0.1]:8089', want: refused },
];

describe('the address of a Workload API', () => {
  for (const { address, want } of rows) {
    it(`${JSON.stringify(address)} is ${want}`, () => {
      const endpoint = parseWorkloadEndpoint(address);
      expect(typeof endpoint === 'string' ? refused : endpoint.target).to.equal(want);
    });
  }
});

describe('SPIFFE_ENDPOINT_SOCKET', () => {
  const socket = 'unix:///env.sock';
  const read = (spiffe: string, SPIFFE_ENDPOINT_SOCKET: string | undefined = socket) => {
    const text = `version: 1\ntrust: { spiffe: { trustDomains: [a.example], ${spiffe} } }\npolicies: [p/]\n`;
    const parsed = parseConfig('c.yaml', text, { SPIFFE_ENDPOINT_SOCKET });
    return 'config' in parsed
      ? parsed.config.trust.spiffe.workloadApi
      : parsed.map(({ code, line, message }) => `${line} ${code} ${message}`).join();
  };
  const settings: readonly { name: string; spiffe: string; want: string | undefined }[] = [
    { name: 'counts for JWT-SVIDs', spiffe: 'jwtSvid: { audiences: [x] }', want: socket },
    { name: 'counts for peers', spiffe: 'peer: { certificate: required }', want: socket },
    { name: 'is passed over where nothing needs it', spiffe: '', want: undefined },
    {
      name: 'is passed over where files are configured',
      spiffe:
        'jwtSvid: { audiences: [x], bundles: { a.example: a.json } }, peer: { certificate: required, bundles: { a.example: a.json } }',
      want: undefined,
    },
    {
      name: 'is passed over where the address is configured',
      spiffe: 'jwtSvid: { audiences: [x] }, workloadApi: "unix:///file.sock"',
      want: 'unix:///file.sock',
    },
  ];
  for (const { name, spiffe, want } of settings) {
    it(name, () => expect(read(spiffe)).to.equal(want));
  }

  it('and the key are refused, each by its name, when they are no address', () => {
    expect(read('jwtSvid: { audiences: [x] }', 'agent.sock')).to.equal(
      '2 bad_address SPIFFE_ENDPOINT_SOCKET is set: a Workload API address begins with unix: or tcp:',
    );
    expect(read('workloadApi: agent.sock')).to.equal(
      '2 bad_address a Workload API address begins with unix: or tcp:',
    );
    expect(read('', 'agent.sock')).to.equal(undefined);
  });
});
