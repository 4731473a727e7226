import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { describe, it } from 'mocha';

const house = readFileSync('CONTRIBUTING.md', 'utf8');

/** Room → the rooms it may import, as CONTRIBUTING.md's table has it. */
const allowed = new Map(
  [...house.matchAll(/^\| `([a-z.]+)` \|[^|]*\|([^|]*)\|$/gm)].map(([, room = '', list = '']) => [
    roomOf(room),
    new Set(list.trim().split(/\s+/).filter(Boolean)),
  ]),
);

function roomOf(path: string): string {
  return (path.split('/')[0] ?? '').replace(/\.ts$/, '');
}

interface Import {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);
const imports: readonly Import[] = files.flatMap((file) => {
  const text = readFileSync(`src/${file}`, 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path = '']) => {
    const target = new URL(path, `file:///${file}`).pathname.slice(1);
    return { file, from: roomOf(file), to: roomOf(target.replace(/\.js$/, '.ts')) };
  });
});

describe('the house', () => {
  it('has every room of src/ in its table, and no other', () => {
    const rooms = new Set(files.map(roomOf));
    expect([...allowed.keys()].sort()).to.deep.equal([...rooms].sort());
  });

  it('has only the imports that its table allows', () => {
    const strangers = imports
      .filter(({ from, to }) => from !== to && allowed.get(from)?.has(to) !== true)
      .map(({ file, to }) => `${file} imports ${to}`);
    expect(strangers).to.deep.equal([]);
  });

  it('has no cycle between rooms', () => {
    const edges = new Map<string, Set<string>>();
    for (const { from, to } of imports) {
      if (from !== to) edges.set(from, (edges.get(from) ?? new Set()).add(to));
    }
    const reaches = (from: string, to: string, seen: Set<string>): boolean =>
      [...(edges.get(from) ?? [])].some((next) => {
        if (next === to) return true;
        if (seen.has(next)) return false;
        seen.add(next);
        return reaches(next, to, seen);
      });
    const cycles = [...edges.keys()].filter((room) => reaches(room, room, new Set()));
    expect(cycles).to.deep.equal([]);
  });

  it('imports grpc-js in the Workload API client alone', () => {
    const importers = (name: string) => [
      ...new Set(
        files
          .filter((file) => readFileSync(`src/${file}`, 'utf8').includes(`'${name}'`))
          .map(roomOf),
      ),
    ];
    expect(importers('@grpc/grpc-js')).to.deep.equal(['trust']);
  });

  it('has no file that collects what belongs nowhere', () => {
    const names = /(^|\/)(index|utils?|common|helpers?|types)(\.ts|\/)/;
    expect(files.filter((file) => names.test(file))).to.deep.equal([]);
  });
});
