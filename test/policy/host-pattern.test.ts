import { expect } from 'chai';
import { describe, it } from 'mocha';
import { matchHost, parseHostPattern } from '../../src/policy/host-pattern.js';

const rows: readonly {
  pattern: string;
  host: string;
  port?: number;
  permit: boolean;
  deny: boolean;
}[] = [
  { pattern: 'api.example', host: 'api.example', permit: true, deny: true },
  { pattern: 'API.Example.', host: 'api.example', port: 8443, permit: true, deny: true },
  { pattern: '*.example', host: 'api.example', permit: true, deny: true },
  { pattern: '*.example', host: 'example', permit: false, deny: false },
  { pattern: '*.example', host: 'a.b.example', permit: false, deny: false },
  { pattern: 'api.example:443', host: 'api.example', port: 443, permit: true, deny: true },
  { pattern: 'api.example:443', host: 'api.example', port: 80, permit: false, deny: false },
  { pattern: 'api.example:443', host: 'api.example', permit: false, deny: true },
];

describe('a host of a rule', () => {
  for (const { pattern, host, port, permit, deny } of rows) {
    it(`${pattern} on ${host}${port === undefined ? '' : `:${port}`}: permit ${permit}, deny ${deny}`, () => {
      const parsed = parseHostPattern(pattern);
      if (typeof parsed === 'string') throw new Error(parsed);
      const matches = (effect: 'permit' | 'deny') =>
        matchHost(parsed, { name: host, port }, effect);
      expect([matches('permit'), matches('deny')]).to.deep.equal([permit, deny]);
    });
  }
});
