import type { HttpRequest } from '../request/request.js';
import { type Captures, matchTemplate, type Template } from '../request/template.js';
import { type HostPattern, matchHost, parentOf } from './host-pattern.js';
import type { Candidate, Rule } from './policy-set.js';

/** A rule with what the index finds it by. */
export interface IndexedRule {
  readonly rule: Rule;
  /** Undefined: any host. */
  readonly hosts: readonly HostPattern[] | undefined;
  /** Undefined: any path. */
  readonly templates: readonly Template[] | undefined;
}

/** One template of a rule in the tree of one host, or the rule without a template. */
interface Entry {
  readonly rule: Rule;
  /** The patterns that lead to this tree; undefined where one of them takes any port. */
  readonly hosts: readonly HostPattern[] | undefined;
  readonly template: Template | undefined;
  /** Whether the template has to be matched again, for its captures. */
  readonly isCapturing: boolean;
}

/** What the index looks at: of a connection, its SNI and no path. */
export type Address = Pick<HttpRequest, 'host' | 'path'>;

/**
 * One step of a path. `any` is reached by `**`; entries of `rest` match whatever follows. Of ten
 * thousand nodes nearly all have one literal behind them, and no list: neither is made before it is
 * needed.
 */
interface Node {
  /** The literal that came first, with what is behind it. */
  literal: string | undefined;
  behind: Node | undefined;
  /** All other literals. */
  literals: Map<string, Node> | undefined;
  one: Node | undefined;
  any: Node | undefined;
  ends: Entry[] | undefined;
  rest: Entry[] | undefined;
}

/** One look-up in one tree. */
interface Walk {
  readonly segments: readonly string[];
  readonly found: Entry[];
  /** From which segment on each node behind a `**` was walked already. */
  walked: Map<Node, number> | undefined;
}

const noCaptures: Captures = Object.freeze(Object.create(null));
const onlyNoCaptures: readonly Captures[] = [noCaptures];

/**
 * Finds the rules for a host and a path by walking the path's segments once through a tree per
 * host: what a look-up costs depends on the path and on the rules it finds, not on how many there
 * are.
 */
export class RuleIndex {
  readonly #hosts = new Map<string, Node>();
  readonly #parents = new Map<string, Node>();
  readonly #anyHost = newNode();

  constructor(rules: readonly IndexedRule[] = []) {
    for (const indexed of rules) this.add(indexed);
  }

  /** Only while the index is being built. */
  add({ rule, hosts, templates }: IndexedRule): void {
    for (const [tree, patterns] of this.#treesOf(hosts)) {
      const here = patterns?.some(({ port }) => port === undefined) === true ? undefined : patterns;
      if (templates === undefined) {
        tree.rest = added(tree.rest, {
          rule,
          hosts: here,
          template: undefined,
          isCapturing: false,
        });
      }
      for (const template of templates ?? []) {
        const isCapturing = template.parts.some(({ kind }) => kind === 'capture');
        insert(tree, template, { rule, hosts: here, template, isCapturing });
      }
    }
  }

  /** The rules for the host and path, in file order, each once. */
  find(address: Address): readonly Candidate[] {
    const { name } = address.host;
    const walk: Walk = { segments: address.path.segments, found: [], walked: undefined };
    collect(this.#anyHost, 0, walk);
    const exact = this.#hosts.get(name);
    if (exact !== undefined) collect(exact, 0, walk);
    const parent = this.#parents.size === 0 ? undefined : this.#parents.get(parentOf(name));
    if (parent !== undefined) collect(parent, 0, walk);
    return toCandidates(walk.found, address);
  }

  #treesOf(
    hosts: readonly HostPattern[] | undefined,
  ): Iterable<readonly [Node, readonly HostPattern[] | undefined]> {
    if (hosts === undefined) return [[this.#anyHost, undefined]];
    const found = new Map<Node, HostPattern[]>();
    for (const pattern of hosts) {
      const trees = pattern.isWildcard ? this.#parents : this.#hosts;
      const tree = trees.get(pattern.name) ?? newNode();
      trees.set(pattern.name, tree);
      const known = found.get(tree);
      if (known === undefined) found.set(tree, [pattern]);
      else known.push(pattern);
    }
    return found;
  }
}

function newNode(): Node {
  return {
    literal: undefined,
    behind: undefined,
    literals: undefined,
    one: undefined,
    any: undefined,
    ends: undefined,
    rest: undefined,
  };
}

/** A list that begins with one entry takes the room of one. */
function added(list: Entry[] | undefined, entry: Entry): Entry[] {
  if (list === undefined) return [entry];
  list.push(entry);
  return list;
}

function insert(tree: Node, { parts }: Template, entry: Entry): void {
  let node = tree;
  for (const [index, part] of parts.entries()) {
    if (part.kind === 'any' && index === parts.length - 1) {
      node.rest = added(node.rest, entry);
      return;
    }
    if (part.kind === 'literal') {
      node = behindLiteral(node, part.text) ?? addLiteral(node, part.text);
    } else if (part.kind === 'any') {
      node.any ??= newNode();
      node = node.any;
    } else {
      node.one ??= newNode();
      node = node.one;
    }
  }
  node.ends = added(node.ends, entry);
}

function behindLiteral(node: Node, text: string): Node | undefined {
  return node.literal === text ? node.behind : node.literals?.get(text);
}

function addLiteral(node: Node, text: string): Node {
  const next = newNode();
  if (node.literal === undefined) {
    node.literal = text;
    node.behind = next;
  } else {
    node.literals ??= new Map();
    node.literals.set(text, next);
  }
  return next;
}

/**
 * Adds what matches the segments from `at` on. What stands behind a `**` may be added more than
 * once; `toCandidates` sorts that out.
 */
function collect(node: Node, at: number, walk: Walk): void {
  if (node.rest !== undefined) for (const entry of node.rest) walk.found.push(entry);
  if (at === walk.segments.length) {
    if (node.ends !== undefined) for (const entry of node.ends) walk.found.push(entry);
    return;
  }
  step(node, at, walk);
  if (node.any !== undefined) collectBehindAny(node.any, at, walk);
}

function step(node: Node, at: number, walk: Walk): void {
  const segment = walk.segments[at];
  if (segment === undefined) return;
  const literal = behindLiteral(node, segment);
  if (literal !== undefined) collect(literal, at + 1, walk);
  if (node.one !== undefined && segment !== '') collect(node.one, at + 1, walk);
}

/**
 * `**` skips any number of segments, so what is behind it is tried at each of them, once: where
 * several ways through other `**` lead here, the first has been to every segment on its right.
 */
function collectBehindAny(node: Node, at: number, walk: Walk): void {
  walk.walked ??= new Map();
  const end = walk.walked.get(node) ?? walk.segments.length;
  if (at >= end) return;
  walk.walked.set(node, at);
  for (let from = at; from < end; from += 1) step(node, from, walk);
}

function toCandidates(found: Entry[], { host, path }: Address): readonly Candidate[] {
  if (found.length > 1) found.sort((a, b) => a.rule.order - b.rule.order);
  const candidates: { rule: Rule; captures: readonly Captures[] }[] = [];
  const seen = found.length > 1 ? new Set<Template>() : undefined;
  for (const { rule, hosts, template, isCapturing } of found) {
    if (hosts !== undefined && !hosts.some((pattern) => matchHost(pattern, host, rule.effect)))
      continue;
    const last = candidates[candidates.length - 1];
    if (template === undefined) {
      if (last?.rule !== rule) candidates.push({ rule, captures: onlyNoCaptures });
      continue;
    }
    if (seen?.has(template)) continue;
    seen?.add(template);
    const captures = isCapturing ? matchTemplate(template, path.segments) : noCaptures;
    if (captures === undefined) continue;
    if (last?.rule === rule) last.captures = [...last.captures, captures];
    else candidates.push({ rule, captures: isCapturing ? [captures] : onlyNoCaptures });
  }
  return candidates;
}
