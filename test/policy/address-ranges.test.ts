import { expect } from 'chai';
import { describe, it } from 'mocha';
import { compileAddressRanges, parseCidr } from '../../src/policy/address-ranges.js';

const inside: readonly { cidr: string; ip: string; want: boolean }[] = [
  { cidr: '203.0.113.0/24', ip: '203.0.113.0', want: true },
  { cidr: '203.0.113.0/24', ip: '203.0.113.255', want: true },
  { cidr: '203.0.113.0/24', ip: '203.0.114.0', want: false },
  { cidr: '203.0.113.7', ip: '203.0.113.7', want: true },
  { cidr: '203.0.113.7', ip: '203.0.113.8', want: false },
  { cidr: '0.0.0.0/0', ip: '198.51.100.1', want: true },
  { cidr: '0.0.0.0/0', ip: '2001:db8::1', want: false },
  { cidr: '10.0.0.0/31', ip: '10.0.0.1', want: true },
  { cidr: '10.0.0.0/31', ip: '10.0.0.2', want: false },
  { cidr: '2001:db8::/32', ip: '2001:db8:ffff::1', want: true },
  { cidr: '2001:db8::/32', ip: '2001:db9::1', want: false },
  { cidr: '::/0', ip: '2001:db8::1', want: true },
  { cidr: '::/0', ip: '10.1.2.3', want: false },
  { cidr: '::1', ip: '::1', want: true },
  { cidr: '10.0.0.0/8', ip: 'unix', want: false },
  { cidr: '10.0.0.0/8', ip: '', want: false },
];

const refused: readonly string[] = [
  '',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/-1',
  '10.0.0.0/08',
  '10.0.0.0/8/8',
  '10.0.0.0/8 ',
  '10.0.0/8',
  '010.0.0.0/8',
  '10.0.0.256/8',
  '2001:db8::/129',
  'fe80::1%eth0/64',
  '::ffff:10.0.0.0/104',
  '::ffff:10.0.0.1',
  'api.example',
];

describe('address ranges', () => {
  for (const { cidr, ip, want } of inside) {
    it(`${cidr} ${want ? 'contains' : 'does not contain'} "${ip}"`, () => {
      const parsed = parseCidr(cidr);
      expect(parsed).to.be.an('object');
      const ranges = compileAddressRanges(typeof parsed === 'string' ? [] : [parsed]);
      expect(ranges.contains(ip)).to.equal(want);
    });
  }

  for (const text of refused) {
    it(`refuse "${text}" with a sentence`, () => {
      expect(parseCidr(text)).to.be.a('string');
    });
  }

  it('are any of several, of both families', () => {
    const cidrs = ['10.0.0.0/8', '2001:db8::/32'].map(parseCidr);
    const ranges = compileAddressRanges(cidrs.filter((cidr) => typeof cidr !== 'string'));
    const found = ['10.9.9.9', '2001:db8::9', '11.0.0.1', '2001:db9::1'].map(ranges.contains);
    expect(found).to.deep.equal([true, true, false, false]);
  });
});
