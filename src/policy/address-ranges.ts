import { BlockList, isIP } from 'node:net';

/** A set of CIDRs. */
export interface AddressRanges {
  readonly text: readonly string[];
  contains(ip: string): boolean;
}

export interface Cidr {
  readonly address: string;
  readonly prefix: number;
  readonly version: 'ipv4' | 'ipv6';
}

const mapped = new BlockList();
mapped.addSubnet('::ffff:0:0', 96, 'ipv6');

/** Parses `203.0.113.0/24`, or an address alone; gives why not, as a sentence. */
export function parseCidr(text: string): Cidr | string {
  const [address = '', digits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || rest.length > 0) {
    return 'a source is a CIDR: 203.0.113.0/24, 2001:db8::/32';
  }
  const most = version === 4 ? 32 : 128;
  const prefix = digits === undefined ? most : Number(digits);
  if (digits !== undefined && (!/^(?:0|[1-9]\d{0,2})$/.test(digits) || prefix > most)) {
    return `the prefix of an IPv${version} CIDR is a number from 0 to ${most}`;
  }
  if (version === 6 && prefix >= 96 && mapped.check(address, 'ipv6')) {
    return 'a client address is never IPv4-mapped: the CIDR is written as IPv4';
  }
  return { address, prefix, version: version === 4 ? 'ipv4' : 'ipv6' };
}

/** An IPv4 address is in no IPv6 range, `::/0` included. */
export function compileAddressRanges(cidrs: readonly Cidr[]): AddressRanges {
  // Lists apart: one list compares an IPv4 address with IPv6 ranges by its mapped form.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const { address, prefix, version } of cidrs) {
    lists[version].addSubnet(address, prefix, version);
  }
  return {
    text: cidrs.map(({ address, prefix }) => `${address}/${prefix}`),
    contains: (ip) => {
      const version = isIP(ip);
      if (version === 0) return false;
      return version === 4 ? lists.ipv4.check(ip, 'ipv4') : lists.ipv6.check(ip, 'ipv6');
    },
  };
}
