import { expect } from 'chai';
import { describe, it } from 'mocha';
import { clientAddress } from '../../src/request/client-address.js';

const socket = (address: string) => ({
  kind: 'socket' as const,
  protocol: 0,
  address,
  port: 5,
  namedPort: undefined,
  resolverName: '',
  ipv4Compat: false,
  networkNamespaceFilepath: '',
});

const rows: readonly {
  name: string;
  source?: string;
  xff?: string[];
  hops?: number;
  want: string | undefined;
}[] = [
  { name: 'the peer', source: '10.0.0.1', want: '10.0.0.1' },
  { name: 'an IPv4-mapped peer', source: '::ffff:10.0.0.1', want: '10.0.0.1' },
  { name: 'IPv6 in one spelling', source: '2001:DB8:0:0::1', want: '2001:db8::1' },
  { name: 'leading zeros (C22)', source: '203.0.113.007', want: undefined },
  { name: 'a decimal address (C22)', source: '3405803783', want: undefined },
  { name: 'a zone (C22)', source: 'fe80::1%eth0', want: undefined },
  {
    name: 'NAT64 is not the IPv4 address (C22)',
    source: '64:ff9b::cb00:7107',
    want: '64:ff9b::cb00:7107',
  },
  {
    name: 'x-forwarded-for with no trusted hop',
    source: '10.0.0.1',
    xff: ['1.1.1.1'],
    want: '10.0.0.1',
  },
  { name: 'one hop', xff: ['9.9.9.9, 1.1.1.1'], hops: 1, want: '1.1.1.1' },
  {
    name: 'two hops over two lines',
    xff: ['9.9.9.9', '1.1.1.1, 2.2.2.2'],
    hops: 2,
    want: '1.1.1.1',
  },
  { name: 'more hops than addresses', xff: ['1.1.1.1'], hops: 2, want: undefined },
  { name: 'what is no address (C20)', xff: ['unknown'], hops: 1, want: undefined },
  { name: 'an address with a port (C20)', xff: ['1.1.1.1:80'], hops: 1, want: undefined },
  { name: 'an address in brackets (C20)', xff: ['[2001:db8::1]'], hops: 1, want: undefined },
];

describe('the client address', () => {
  for (const { name, source, xff = [], hops = 0, want } of rows) {
    it(`is, for ${name}, ${want ?? 'not known'}`, () => {
      const address = clientAddress(source === undefined ? undefined : socket(source), xff, hops);
      expect(address?.ip).to.equal(want);
    });
  }

  it('is not known for a pipe', () => {
    expect(clientAddress({ kind: 'pipe', path: '/x', mode: 0 }, [], 0)).to.equal(undefined);
  });
});
