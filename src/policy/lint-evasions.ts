import type { Finding } from '../document/finding.js';
import type { LintCode } from '../document/lint-codes.js';
import { matchTemplate, type Template, type TemplatePart } from '../request/template.js';
import type { Rule } from './policy-set.js';
import { type IndexedRule, RuleIndex } from './rule-index.js';

/**
 * Deny rules that a request steps around which many applications take for the same, and a permit is
 * for: by a trailing slash (`/a/export/` is another path than `/a/export`), or a gRPC call by another
 * content type (gRPC-Web, Connect, JSON). One finding a rule.
 */
export function lintEvasions(rules: readonly IndexedRule[]): readonly Finding[] {
  const denies = rules.filter(
    ({ rule, templates }) =>
      rule.effect === 'deny' && rule.mode === 'enforce' && templates !== undefined,
  );
  if (denies.length === 0) return [];
  // By path alone: hosts are compared below, as texts.
  const index = new RuleIndex(
    rules
      .filter(({ rule }) => rule.mode === 'enforce' && isForRequests(rule))
      .map((indexed) => ({ ...indexed, hosts: undefined })),
  );
  const open = openPrefixes(rules);
  return denies.flatMap(({ rule, templates = [] }) => {
    const isCall = rule.route.grpc !== undefined;
    for (const template of templates) {
      const paths = isCall ? [template.parts.map(sampleOf)] : samplesOf(template, open);
      for (const path of paths) {
        const permit = permitBeside(index, rule, isCall ? path : [...path, '']);
        if (permit === undefined) continue;
        return [isCall ? otherType(rule, permit) : otherPath(rule, permit, template)];
      }
    }
    return [];
  });
}

/** More than these are not tried, so that a large policy is checked in bounded time. */
const maxPrefixes = 1000;

/** What stands before the last `**` of permits, as segments. */
function openPrefixes(rules: readonly IndexedRule[]): readonly (readonly string[])[] {
  const prefixes = new Map<string, readonly string[]>();
  for (const { rule, templates = [] } of rules) {
    if (rule.effect !== 'permit') continue;
    for (const { source, parts } of templates) {
      if (parts[parts.length - 1]?.kind !== 'any' || prefixes.size >= maxPrefixes) continue;
      prefixes.set(source, parts.slice(0, -1).map(sampleOf));
    }
  }
  return [...prefixes.values()];
}

/** Paths of a deny's template that permits may be for as well; none where it ends in `**` or a slash. */
function samplesOf(
  template: Template,
  open: readonly (readonly string[])[],
): readonly (readonly string[])[] {
  const { parts } = template;
  const last = parts[parts.length - 1];
  if (last === undefined || last.kind === 'any' || sampleOf(last) === '') return [];
  const any = parts.findLastIndex(({ kind }) => kind === 'any');
  const whole = parts.map(sampleOf);
  if (any < 0) return [whole];
  const below = open.map((prefix) => [...prefix, ...whole.slice(any + 1)]);
  return [whole, ...below.filter((path) => matchTemplate(template, path) !== undefined)];
}

function sampleOf(part: TemplatePart): string {
  return part.kind === 'literal' ? part.text : nowhere;
}

/** Whether a rule is for requests of any content type. */
const isForRequests = ({ route }: Rule) => route.tcp === undefined && route.grpc === undefined;

/** A segment that no rule has. */
const nowhere = '\u0000';

function permitBeside(index: RuleIndex, deny: Rule, segments: readonly string[]): Rule | undefined {
  const address = { host: { name: '', port: undefined }, path: { raw: '', segments } };
  const found = index.find(address).map(({ rule }) => rule);
  const isDenied = found.some((rule) => rule.effect === 'deny' && hasMethodsOf(rule, deny));
  if (isDenied) return undefined;
  return found.find((rule) => rule.effect === 'permit' && meet(rule, deny));
}

function hasMethodsOf({ route: wide }: Rule, { route: narrow }: Rule): boolean {
  if (wide.methods === undefined) return true;
  return [...(narrow.methods ?? ['*'])].every((name) => wide.methods?.has(name) === true);
}

/** Whether a request can be for both, as far as methods and hosts tell. */
function meet({ route: one }: Rule, { route: other }: Rule): boolean {
  const denied = other.grpc === undefined ? other.methods : new Set(['POST']);
  const hasMethod =
    one.methods === undefined ||
    denied === undefined ||
    [...one.methods].some((name) => denied.has(name));
  const hasHost =
    one.hosts === undefined ||
    other.hosts === undefined ||
    one.hosts.some((host) => other.hosts?.includes(host) === true);
  return hasMethod && hasHost;
}

function otherPath(deny: Rule, permit: Rule, { source }: Template): Finding {
  const message = `"${deny.id}" does not deny "${source}/", which "${permit.id}" is for`;
  const suggestion = `add "${source}/" to its paths, unless the application tells the two apart`;
  return warning('deny_slash', deny, message, suggestion);
}

function otherType(deny: Rule, permit: Rule): Finding {
  const message = `"${deny.id}" denies gRPC alone: "${permit.id}" is for the same path with another content type`;
  const suggestion =
    'deny the path with `paths`, where the application also speaks gRPC-Web or JSON';
  return warning('deny_grpc', deny, message, suggestion);
}

function warning(code: LintCode, deny: Rule, message: string, suggestion: string): Finding {
  return { severity: 'warning', code, ...deny.at, path: deny.id, message, suggestion };
}
