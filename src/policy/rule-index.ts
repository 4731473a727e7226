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
}

/** One step of a path. `any` is reached by `**`; entries of `rest` match whatever follows. */
interface Node {
  readonly literals: Map<string, Node>;
  one: Node | undefined;
  any: Node | undefined;
  readonly ends: Entry[];
  readonly rest: Entry[];
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

  constructor(rules: readonly IndexedRule[]) {
    for (const indexed of rules) {
      for (const tree of this.#treesOf(indexed.hosts)) insertRule(tree, indexed);
    }
  }

  /** The rules for the request's host and path, in file order, each once. */
  find(request: HttpRequest): readonly Candidate[] {
    const { host, path } = request;
    const found: Entry[] = [];
    const trees = [
      this.#anyHost,
      this.#hosts.get(host.name),
      this.#parents.size === 0 ? undefined : this.#parents.get(parentOf(host.name)),
    ];
    for (const tree of trees) if (tree !== undefined) collect(tree, path.segments, 0, found);
    return toCandidates(found, request);
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
  if (indexed.templates === undefined) tree.rest.push({ ...indexed, template: undefined });
  for (const template of indexed.templates ?? []) insertTemplate(tree, { ...indexed, template });
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

/** Adds what matches `segments` from `at` on. Entries may be added twice; the caller sorts that out. */
function collect(node: Node, segments: readonly string[], at: number, found: Entry[]): void {
  for (const entry of node.rest) found.push(entry);
  const segment = segments[at];
  if (segment === undefined) {
    for (const entry of node.ends) found.push(entry);
    return;
  }
  const literal = node.literals.get(segment);
  if (literal !== undefined) collect(literal, segments, at + 1, found);
  if (node.one !== undefined && segment !== '') collect(node.one, segments, at + 1, found);
  if (node.any !== undefined) collectBehindAny(node.any, segments, at, found);
}

/**
 * Behind an inner `**`: instead of trying every way to go on, every template below is taken when
 * its next literal occurs anywhere in what is left; `matchTemplate` then tells, in linear time.
 */
function collectBehindAny(
  node: Node,
  segments: readonly string[],
  at: number,
  found: Entry[],
): void {
  for (const [text, next] of node.literals) {
    if (segments.indexOf(text, at) >= 0) collectAll(next, found);
  }
}

function collectAll(node: Node, found: Entry[]): void {
  for (const entry of node.ends) found.push(entry);
  for (const entry of node.rest) found.push(entry);
  for (const next of node.literals.values()) collectAll(next, found);
  if (node.one !== undefined) collectAll(node.one, found);
  if (node.any !== undefined) collectAll(node.any, found);
}

function toCandidates(found: Entry[], request: HttpRequest): readonly Candidate[] {
  if (found.length > 1) found.sort((a, b) => a.rule.order - b.rule.order);
  const candidates: { rule: Rule; captures: readonly Captures[] }[] = [];
  const seen = new Set<Template>();
  for (const { rule, hosts, template } of found) {
    if (hosts !== undefined && !hosts.some((host) => matchHost(host, request.host))) continue;
    const last = candidates[candidates.length - 1];
    if (template === undefined) {
      if (last?.rule !== rule) candidates.push({ rule, captures: onlyNoCaptures });
      continue;
    }
    if (found.length > 1) {
      if (seen.has(template)) continue;
      seen.add(template);
    }
    const captures = matchTemplate(template, request.path.segments);
    if (captures === undefined) continue;
    if (last?.rule === rule) last.captures = [...last.captures, captures];
    else candidates.push({ rule, captures: [captures] });
  }
  return candidates;
}
