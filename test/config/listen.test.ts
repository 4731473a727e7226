import { expect } from 'chai';
import { describe, it } from 'mocha';
import { parseConfig } from '../../src/config/parse-config.js';

const rest = 'version: 1\npolicies: [p.yaml]\n';
const tls = 'tls: { certificate: server.pem, key: server.key }\n';

/** What is wrong with a configuration that begins so; empty: nothing. */
const faults = (text: string) => {
  const parsed = parseConfig('countersign.yaml', `${rest}${text}`, {});
  return 'config' in parsed ? [] : parsed.map(({ path }) => path);
};

describe('where the sidecar listens (row 137)', () => {
  it('is loopback where nothing is said', () => {
    const parsed = parseConfig('countersign.yaml', rest, {});
    const { listen, admin } = 'config' in parsed ? parsed.config : { listen: '', admin: '' };
    expect([listen, admin]).to.deep.equal(['127.0.0.1:9191', '127.0.0.1:9192']);
  });

  const rows: readonly { name: string; given: string; want: readonly string[] }[] = [
    { name: 'may be another port of loopback', given: 'listen: 127.0.0.1:1\n', want: [] },
    { name: 'may be loopback of IPv6', given: 'listen: "[::1]:9191"\n', want: [] },
    { name: 'may be a unix socket', given: 'listen: unix:///run/c/a.sock\n', want: [] },
    { name: 'is not every address', given: 'listen: 0.0.0.0:9191\n', want: ['listen'] },
    { name: 'is not every address of IPv6', given: 'listen: "[::]:9191"\n', want: ['listen'] },
    { name: 'is not another address', given: 'listen: 10.0.0.7:9191\n', want: ['listen'] },
    {
      name: 'may be every address with TLS',
      given: `listen: 0.0.0.0:9191\n${tls}`,
      want: [],
    },
    {
      name: 'may be every address when the operator says that it is meant',
      given: 'listen: 0.0.0.0:9191\ninsecure: true\n',
      want: [],
    },
    { name: 'is no relative socket', given: 'listen: unix://a.sock\n', want: ['listen'] },
  ];
  for (const { name, given, want } of rows) {
    it(name, () => {
      expect(faults(given)).to.deep.equal(want);
    });
  }
});
