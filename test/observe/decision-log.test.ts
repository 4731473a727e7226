import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import { LineSink, type LineTarget } from '../../src/observe/line-sink.js';
import { LogFile } from '../../src/observe/log-file.js';

const mebibyte = 1024 * 1024;

describe('the decision log', () => {
  let folder: string;
  let path: string;
  let dropped: number;
  const sinks: LineSink[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'countersign-log-'));
    path = join(folder, 'logs', 'decisions.log');
    dropped = 0;
  });
  afterEach(async () => {
    for (const sink of sinks.splice(0)) await sink.close(0);
    rmSync(folder, { recursive: true, force: true });
  });

  const openSink = (target: LineTarget) => {
    const sink = new LineSink(target, (lines) => {
      dropped += lines;
    });
    sinks.push(sink);
    return sink;
  };
  const openFile = (maxSize = mebibyte, keep = 3, at = path) => {
    const file = new LogFile(at, { maxSize, keep }, () => performance.now());
    return { file, sink: openSink(file) };
  };
  const line = (number: number) => `{"n":${number},"pad":"${'x'.repeat(80)}"}\n`;
  const numbersIn = (file: string) =>
    existsSync(file)
      ? readFileSync(file, 'utf8')
          .split('\n')
          .filter(Boolean)
          .map((text) => JSON.parse(text).n)
      : [];
  const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at);
  const all = () => {
    const names = readdirSync(join(folder, 'logs')).sort().reverse();
    return names.flatMap((name) => numbersIn(join(folder, 'logs', name)));
  };

  it('writes lines in their order, and makes the folder', async () => {
    const { sink } = openFile();
    for (const number of numbers(1000)) sink.write(line(number));
    await sink.close(5_000);
    expect(numbersIn(path)).to.deep.equal(numbers(1000));
    expect(dropped).to.equal(0);
  });

  it('rotates by size without losing or splitting a line, and keeps so many files', async () => {
    const { sink } = openFile(3_000, 100);
    for (const number of numbers(300)) {
      sink.write(line(number));
      // A turn of the event loop, so that lines do not share one write.
      if (number % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await sink.close(5_000);
    const files = readdirSync(join(folder, 'logs')).sort((a, b) => numberOf(b) - numberOf(a));
    expect(files.length).to.be.greaterThan(5);
    expect(files.flatMap((name) => numbersIn(join(folder, 'logs', name)))).to.deep.equal(
      numbers(300),
    );
    for (const name of files) {
      expect(readFileSync(join(folder, 'logs', name)).length).to.be.at.most(3_000);
    }
  });

  it('keeps no more rotated files than asked for, the youngest as .1', async () => {
    for (const number of numbers(8)) {
      const { sink } = openFile(100, 2);
      sink.write(line(number));
      await sink.close(5_000);
    }
    expect(readdirSync(join(folder, 'logs')).sort()).to.deep.equal([
      'decisions.log',
      'decisions.log.1',
      'decisions.log.2',
    ]);
    expect([path, `${path}.1`, `${path}.2`].map(numbersIn)).to.deep.equal([[7], [6], [5]]);
  });

  it('goes on in a new file when told that the old one was moved away (SIGHUP)', async () => {
    const { file, sink } = openFile();
    sink.write(line(1));
    await until(async () => numbersIn(path).length === 1, 'the line is not written');
    renameSync(path, `${path}.moved`);
    file.reopen();
    sink.write(line(2));
    await sink.close(5_000);
    expect([numbersIn(`${path}.moved`), numbersIn(path)]).to.deep.equal([[1], [2]]);
  });

  it('finds within about a second by itself that the file was moved away', async () => {
    const { sink } = openFile();
    sink.write(line(0));
    await until(async () => numbersIn(path).length === 1, 'the line is not written');
    renameSync(path, `${path}.moved`);
    let next = 1;
    await until(async () => {
      sink.write(line(next));
      next += 1;
      return existsSync(path);
    }, 'no new file was made');
    await sink.close(5_000);
    expect([...numbersIn(`${path}.moved`), ...numbersIn(path)]).to.deep.equal(numbers(next));
  });

  it('begins at the start of a file that was copied and cut (copytruncate)', async () => {
    const { sink } = openFile();
    sink.write(line(0));
    await until(async () => numbersIn(path).length === 1, 'the line is not written');
    truncateSync(path);
    sink.write(line(1));
    await sink.close(5_000);
    expect(numbersIn(path)).to.deep.equal([1]);
  });

  it('loses nothing when two processes write, and rotate, one file', async () => {
    const first = openFile(1_000, 5);
    const second = openFile(1_000, 5);
    for (const number of numbers(40)) {
      (number % 2 === 0 ? first : second).sink.write(line(number));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await first.sink.close(5_000);
    await second.sink.close(5_000);
    expect(dropped).to.equal(0);
    expect(all().sort((a, b) => a - b)).to.deep.equal(numbers(40));
  });

  it('waits for a full disk, and loses nothing that fits into memory', async () => {
    let isFull = true;
    const { file } = openFile();
    const sink = openSink({
      prepare: (bytes) => file.prepare(bytes),
      write: (bytes) =>
        isFull
          ? Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
          : file.write(bytes),
      close: () => file.close(),
    });
    for (const number of numbers(100)) sink.write(line(number));
    await until(async () => sink.failure === 'ENOSPC', 'the failure is not shown');
    isFull = false;
    await until(async () => numbersIn(path).length === 100, 'the lines are not written');
    expect(numbersIn(path)).to.deep.equal(numbers(100));
    expect([sink.failure, dropped]).to.deep.equal([undefined, 0]);
  });

  it('goes on where a line was cut', async () => {
    const { file } = openFile();
    const sink = openSink({
      prepare: (bytes) => file.prepare(bytes),
      write: (bytes) => file.write(bytes.subarray(0, 7)),
      close: () => file.close(),
    });
    for (const number of numbers(5)) sink.write(line(number));
    await sink.close(5_000);
    expect(numbersIn(path)).to.deep.equal(numbers(5));
  });

  it('counts every line that a real full device costs, once', async () => {
    const { sink } = openFile(mebibyte, 3, '/dev/full');
    for (const number of numbers(50)) sink.write(line(number));
    await until(async () => sink.failure === 'ENOSPC', 'the failure is not shown');
    await sink.close(0);
    await until(async () => dropped === 50, 'not every line is counted');
  });

  it('drops and counts what a pipe that nobody reads has no room for, and ends at once', async () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const { sink } = openFile(mebibyte, 3, fifo);
    const big = `${'x'.repeat(mebibyte - 1)}\n`;
    for (const _ of numbers(20)) sink.write(big);
    expect(dropped).to.equal(4);
    await until(async () => sink.failure === 'ENXIO', 'the failure is not shown');
    await sink.close(0);
    await until(async () => dropped === 20, 'not every line is counted');
  });

  it('gives a reader of a pipe every line once one comes', async () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const { sink } = openFile(mebibyte, 3, fifo);
    for (const number of numbers(5000)) sink.write(line(number));
    await until(async () => sink.failure === 'ENXIO', 'the failure is not shown');
    const reader: ChildProcess = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    reader.stdout?.on('data', (chunk) => {
      text += String(chunk);
    });
    const expected = numbers(5000).map(line).join('');
    await until(async () => text.length >= expected.length, 'the reader did not get everything');
    expect(text).to.equal(expected);
    expect(dropped).to.equal(0);
    await sink.close(1_000);
    reader.kill();
  });

  it('goes on in a file that cannot be rotated, and says so', async () => {
    const { sink } = openFile(100, 2);
    sink.write(line(0));
    await until(async () => numbersIn(path).length === 1, 'the line is not written');
    // Not even root renames a file over a folder.
    writeFileSync(`${path}.1`, '');
    execFileSync('mkdir', [`${path}.2`]);
    sink.write(line(1));
    await until(async () => sink.failure !== undefined, 'the failure is not shown');
    await sink.close(5_000);
    expect(numbersIn(path)).to.deep.equal([0, 1]);
    expect(dropped).to.equal(0);
  });

  it('is readable by its owner and group alone', async () => {
    const { sink } = openFile();
    sink.write(line(1));
    await sink.close(5_000);
    const mode = execFileSync('stat', ['-c', '%a', path], { encoding: 'utf8' }).trim();
    expect(['640', '600']).to.include(mode);
  });
});

const numberOf = (name: string) => Number(/\d+$/.exec(name)?.[0] ?? 0);
