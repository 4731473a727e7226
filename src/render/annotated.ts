import { Document, type Node, type Pair, type Scalar, YAMLMap, YAMLSeq } from 'yaml';

/** A value of YAML, parts of which have a reason; members that are undefined are left out. */
export type Tree = Plain | Because;
type Plain = string | number | boolean | readonly Tree[] | Members;
interface Members {
  readonly [key: string]: Tree | undefined;
}

/** A value with the reason why it is there, which becomes a comment above it. */
class Because {
  readonly why: string;
  readonly value: Plain;

  constructor(why: string, value: Plain) {
    this.why = why;
    this.value = value;
  }
}

export function because(why: string, value: Plain): Tree {
  return new Because(why, value);
}

const width = 100;

/** YAML of one or several documents, with every reason as a comment. */
export function writeYaml(trees: readonly Tree[]): string {
  return trees
    .map((tree) => {
      const document = new Document();
      document.contents = nodeOf(document, bare(tree), 0);
      const head = tree instanceof Because ? `${commentLines(tree.why, 0)}\n` : '';
      return `${head}${document.toString({ lineWidth: width })}`;
    })
    .join('---\n');
}

/** The same without its reasons: what the YAML says to a program. */
export function plainOf(tree: Tree): unknown {
  const value = bare(tree);
  if (isList(value)) return value.map(plainOf);
  if (typeof value !== 'object') return value;
  return Object.fromEntries(members(value).map(([key, member]) => [key, plainOf(member)]));
}

function bare(tree: Tree): Plain {
  return tree instanceof Because ? tree.value : tree;
}

function isList(value: Plain): value is readonly Tree[] {
  return Array.isArray(value);
}

function members(value: Members): readonly (readonly [string, Tree])[] {
  return Object.entries(value).flatMap(([key, member]) =>
    member === undefined ? [] : [[key, member] as const],
  );
}

function nodeOf(document: Document, value: Plain, depth: number): Node {
  if (isList(value)) {
    const list = new YAMLSeq();
    for (const item of value) {
      const node = nodeOf(document, bare(item), depth + 1);
      if (item instanceof Because) node.commentBefore = commentText(item.why, depth + 1);
      list.add(node);
    }
    return list;
  }
  if (typeof value !== 'object') return document.createNode(value);
  const map = new YAMLMap();
  for (const [key, member] of members(value)) {
    const name: Scalar = document.createNode(key) as Scalar;
    if (member instanceof Because) name.commentBefore = commentText(member.why, depth);
    const pair = document.createPair(name, undefined) as Pair<Scalar, Node>;
    pair.value = nodeOf(document, bare(member), depth + 1);
    map.add(pair);
  }
  map.flow = isShort(value, depth);
  return map;
}

/** Whether a mapping fits behind its key: no lists, no reasons, few members. */
function isShort(value: Members, depth: number): boolean {
  return hasNoReason(value) && depth > 0 && JSON.stringify(value).length + depth * 2 < 60;
}

function hasNoReason(value: Members): boolean {
  return members(value).every(
    ([, member]) =>
      !(member instanceof Because) &&
      !isList(member) &&
      (typeof member !== 'object' || hasNoReason(member)),
  );
}

/** Lines for `commentBefore`: each gets its `#` by the library. */
function commentText(why: string, depth: number): string {
  return wrap(why, width - 4 - depth * 2)
    .map((line) => ` ${line}`)
    .join('\n');
}

function commentLines(why: string, depth: number): string {
  return wrap(why, width - 4 - depth * 2)
    .map((line) => `# ${line}`)
    .join('\n');
}

function wrap(text: string, length: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const line = lines[lines.length - 1];
    if (line === undefined || line.length + 1 + word.length > length) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines;
}
