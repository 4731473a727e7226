import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { run } from '../../src/cli/run.js';
import { rendered } from '../support/rendered.js';

const page = readFileSync('docs/envoy.md', 'utf8');

async function print(...argv: readonly string[]): Promise<string> {
  let out = '';
  let err = '';
  const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
  const code = await run(argv, io);
  return `${code === 0 ? '' : `exit code ${code}\n`}${err}${out}`;
}

describe('docs/envoy.md', () => {
  it('lists configurations for every way to listen', () => {
    expect(rendered.map(({ file }) => file)).to.include.members(['tcp.yaml', 'unix-socket.yaml']);
  });

  for (const { file, options } of rendered) {
    it(`shows the command that prints envoy/${file}`, async () => {
      const text = await print('render', 'envoy', ...options);
      expect(text).to.equal(readFileSync(`envoy/${file}`, 'utf8'));
    });
  }

  const commands = [...page.matchAll(/^\$ countersign (render envoy.*?) *#/gm)].map(
    ([, line = '']) => line,
  );
  for (const line of commands) {
    it(`shows a command that prints YAML: ${line}`, async () => {
      const text = await print(...line.split(' '), '-c', 'envoy/countersign/tcp.yaml');
      expect(text).to.match(/ext_authz|name: countersign/);
      expect(text).not.to.match(/^exit code/);
    });
  }
});
