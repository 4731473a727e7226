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

interface Entry extends IndexedRule {
  readonly template: Template | undefined;
  /** Whether the template has to be matched again, for its captures. */
  readonly isCapturing: boolean;
}

/** What the index looks at: of a connection, its SNI and no path. */
export type Address = Pick<HttpRequest, 'host' | 'path'>;

/** One step of a path. `any` is reached by `**`; entries of `rest` match whatever follows. */
interface Node {
  readonly literals: Map<string, Node>;
  one: Node | undefined;
  any: Node | undefined;
  readonly ends: Entry[];
  readonly rest: Entry[];
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
  add(indexed: IndexedRule): void {
    for (const tree of this.#treesOf(indexed.hosts)) insertRule(tree, indexed);
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

  #treesOf(hosts: readonly HostPattern[] | undefined): ReadonlySet<Node> {
    if (hosts === undefined) return new Set([this.#anyHost]);
    return new Set(
      hosts.map(({ name, isWildcard }) => {
        const trees = isWildcard ? this.#parents : this.#hosts;
        const tree = trees.get(name) ?? newNode();
        trees.set(name, tree);
        return tree;
      }),
    );
  }
}

function newNode(): Node {
  return { literals: new Map(), one: undefined, any: undefined, ends: [], rest: [] };
}

function insertRule(tree: Node, indexed: IndexedRule): void {
  if (indexed.templates === undefined) {
    tree.rest.push({ ...indexed, template: undefined, isCapturing: false });
  }
  for (const template of indexed.templates ?? []) {
    const isCapturing = template.parts.some(({ kind }) => kind === 'capture');
    insertTemplate(tree, { ...indexed, template, isCapturing });
  }
}

function insertTemplate(tree: Node, entry: Entry & { template: Template }): void {
  let node = tree;
  const { parts } = entry.template;
  for (const [index, part] of parts.entries()) {
    if (part.kind === 'any' && index === parts.length - 1) {
      node.rest.push(entry);
      return;
    }
    if (part.kind === 'literal') {
      const next = node.literals.get(part.text) ?? newNode();
      node.literals.set(part.text, next);
      node = next;
    } else if (part.kind === 'any') {
      node.any ??= newNode();
      node = node.any;
    } else {
      node.one ??= newNode();
      node = node.one;
    }
  }
  node.ends.push(entry);
}

/**
 * Adds what matches the segments from `at` on. What stands behind a `**` may be added more than
 * once; `toCandidates` sorts that out.
 */
function collect(node: Node, at: number, walk: Walk): void {
  for (const entry of node.rest) walk.found.push(entry);
  if (at === walk.segments.length) {
    for (const entry of node.ends) walk.found.push(entry);
    return;
  }
  step(node, at, walk);
  if (node.any !== undefined) collectBehindAny(node.any, at, walk);
}

function step(node: Node, at: number, walk: Walk): void {
  const segment = walk.segments[at];
  if (segment === undefined) return;
  const literal = node.literals.get(segment);
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
  const seen = new Set<Template>();
  for (const { rule, hosts, template, isCapturing } of found) {
    if (hosts !== undefined && !hosts.some((pattern) => matchHost(pattern, host, rule.effect)))
      continue;
    const last = candidates[candidates.length - 1];
    if (template === undefined) {
      if (last?.rule !== rule) candidates.push({ rule, captures: onlyNoCaptures });
      continue;
    }
    if (found.length > 1) {
      if (seen.has(template)) continue;
      seen.add(template);
    }
    const captures = isCapturing ? matchTemplate(template, path.segments) : noCaptures;
    if (captures === undefined) continue;
    if (last?.rule === rule) last.captures = [...last.captures, captures];
    else candidates.push({ rule, captures: isCapturing ? [captures] : onlyNoCaptures });
  }
  return candidates;
}
