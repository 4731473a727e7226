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

/** Parses `203.0.113.0/24`, or an address alone; gives why not, as a sentence. */
export function parseCidr(text: string): Cidr | string {
  const [address = '', digits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || address.includes('%') || rest.length > 0) {
    return 'a source is a CIDR: 203.0.113.0/24, 2001:db8::/32';
  }
  const most = version === 4 ? 32 : 128;
  const prefix = digits === undefined ? most : Number(digits);
  if (digits !== undefined && (!/^\d{1,3}$/.test(digits) || prefix > most)) {
    return `the prefix of an IPv${version} CIDR is a number from 0 to ${most}`;
  }
  return { address, prefix, version: version === 4 ? 'ipv4' : 'ipv6' };
}

export function compileAddressRanges(cidrs: readonly Cidr[]): AddressRanges {
  const list = new BlockList();
  for (const { address, prefix, version } of cidrs) list.addSubnet(address, prefix, version);
  return {
    text: cidrs.map(({ address, prefix }) => `${address}/${prefix}`),
    contains: (ip) => {
      const version = isIP(ip);
      return version !== 0 && list.check(ip, version === 4 ? 'ipv4' : 'ipv6');
    },
  };
}
