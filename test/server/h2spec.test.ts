import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { after, before, it } from 'mocha';
import { trackConnections } from '../../src/server/http2-connections.js';
import { buildGo, describeGo } from '../support/go-program.js';

/**
 * h2spec asks for a page like a browser: what it is about is HTTP/2 itself, so it is answered by a
 * server without gRPC on the same connections.
 */
const page = {
  maxMessageBytes: 1024 * 1024,
  maxConcurrentStreams: 100,
  begin: () => true,
  answer: (stream: { sendAnswer(a: Buffer, b: Buffer, c: Buffer): void }) =>
    stream.sendAnswer(Buffer.of(0x88), Buffer.from('hello'), Buffer.of(0x00, 1, 0x61, 1, 0x62)),
};

describeGo('HTTP/2 connections, asked by h2spec', () => {
  let server: Server;
  let program = '';
  const report = join(tmpdir(), `h2spec-${process.pid}.xml`);

  before(async function () {
    this.timeout(180_000);
    program = buildGo('h2spec', 'github.com/summerwind/h2spec/cmd/h2spec');
    const connections = trackConnections(page);
    server = createServer((socket) => {
      if (connections.enter(socket)) connections.speak(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => {
    server.close();
    rmSync(report, { force: true });
  });

  for (const section of ['generic', 'http2', 'hpack']) {
    it(`hold to all of its cases: ${section}`, async function () {
      this.timeout(120_000);
      const { port } = server.address() as AddressInfo;
      const output = await new Promise<string>((resolve) => {
        const options = ['-S', '-h', '127.0.0.1', '-p', String(port), '-j', report, section];
        execFile(program, options, (_, stdout) => resolve(stdout));
      });
      const [, tests = '0'] = /(\d+) tests, /.exec(output) ?? [];
      const failures = output.split('Failures:')[1] ?? '';
      expect(failures.replace(/\s+$/, '')).to.equal('');
      expect(Number(tests)).to.be.greaterThan(5);
      expect(readFileSync(report, 'utf8')).to.include('testsuite');
    });
  }
});
