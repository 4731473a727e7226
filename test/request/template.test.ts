import { expect } from 'chai';
import { describe, it } from 'mocha';
import { matchTemplate, parseTemplate } from '../../src/request/template.js';

/** `no`, or the captures as `name=value`. */
function match(template: string, path: string): string {
  const parsed = parseTemplate(template);
  if (typeof parsed === 'string') return `error: ${parsed}`;
  const captures = matchTemplate(parsed, path.slice(1).split('/'));
  if (captures === undefined) return 'no';
  return `yes${Object.entries(captures)
    .map(([name, value]) => ` ${name}=${value}`)
    .join('')}`;
}

const rows: readonly { template: string; path: string; want: string }[] = [
  { template: '/', path: '/', want: 'yes' },
  { template: '/a', path: '/a', want: 'yes' },
  { template: '/a', path: '/a/', want: 'no' },
  { template: '/a/', path: '/a/', want: 'yes' },
  { template: '/a', path: '/A', want: 'no' },
  { template: '/p/{id}', path: '/p/7', want: 'yes id=7' },
  { template: '/p/{id}', path: '/p/7/8', want: 'no' },
  { template: '/p/{id}', path: '/p/', want: 'no' },
  { template: '/p/*', path: '/p/', want: 'no' },
  { template: '/files/**', path: '/files', want: 'yes' },
  { template: '/files/**', path: '/files/', want: 'yes' },
  { template: '/files/**', path: '/files/a/b/', want: 'yes' },
  { template: '/files/**', path: '/filesx', want: 'no' },
  { template: '/**', path: '/', want: 'yes' },
  { template: '/**/export', path: '/export', want: 'yes' },
  { template: '/**/export', path: '/a/b/export', want: 'yes' },
  { template: '/**/export', path: '/a/export/b', want: 'no' },
  { template: '/**/export', path: '/a/export/', want: 'no' },
  { template: '/{t}/**/x/{id}', path: '/q/x/a/x/7', want: 'yes t=q id=7' },
  { template: '/**/a/**/b', path: '/x/a/y/a/z/b', want: 'yes' },
  { template: '/**/a/**/b', path: '/x/a/y/b/z', want: 'no' },
  { template: '/tasks/{id}', path: '/tasks/42:cancel', want: 'yes id=42:cancel' },
];

const faults: readonly { template: string; want: RegExp }[] = [
  { template: 'a', want: /begins with "\/"/ },
  { template: '/a//b', want: /empty segment/ },
  { template: '/a/../b', want: /dot segment/ },
  { template: '/a/v{n}', want: /whole segments/ },
  { template: '/a/*.json', want: /whole segments/ },
  { template: '/a/{id}/{id}', want: /captured twice/ },
  { template: '/**/{id}', want: /before a literal/ },
  { template: '/**/a/{id}/**/b', want: /between two/ },
  { template: '/a%2fb', want: /can never match/ },
  { template: '/a?b', want: /can never match/ },
  { template: '/a;b', want: /can never match/ },
];

describe('a path template', () => {
  for (const { template, path, want } of rows) {
    it(`${template} on ${path}: ${want}`, () => {
      expect(match(template, path)).to.equal(want);
    });
  }
  for (const { template, want } of faults) {
    it(`refuses ${template}`, () => {
      expect(match(template, '/'))
        .to.match(/^error/)
        .and.match(want);
    });
  }
});
