import type { Finding } from '../document/finding.js';
import { matchTemplate, type Template, type TemplatePart } from '../request/template.js';
import type { Rule } from './policy-set.js';
import { type IndexedRule, RuleIndex } from './rule-index.js';

/**
 * Deny rules that a trailing slash steps around: `/a/export/` is another path than `/a/export`, a
 * permit is for it, and many applications take one for the other. One finding a rule.
 */
export function lintSlashes(rules: readonly IndexedRule[]): readonly Finding[] {
  const denies = rules.filter(
    ({ rule, templates }) => rule.effect === 'deny' && isPlain(rule) && templates !== undefined,
  );
  if (denies.length === 0) return [];
  // By path alone: hosts are compared below, as texts.
  const index = new RuleIndex(
    rules
      .filter(({ rule }) => rule.mode === 'enforce' && isPlain(rule))
      .map((indexed) => ({ ...indexed, hosts: undefined })),
  );
  const open = openPrefixes(rules);
  return denies.flatMap(({ rule, templates = [] }) => {
    if (rule.mode !== 'enforce') return [];
    for (const template of templates) {
      for (const path of samplesOf(template, open)) {
        const permit = permitBeside(index, rule, path);
        if (permit !== undefined) return [warning(rule, permit, template)];
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

const isPlain = ({ route }: Rule) => route.tcp === undefined && route.grpc === undefined;

/** A segment that no rule has. */
const nowhere = '\u0000';

function permitBeside(index: RuleIndex, deny: Rule, path: readonly string[]): Rule | undefined {
  const segments = [...path, ''];
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
  const methods = [...(one.methods ?? [])];
  const hasMethod =
    one.methods === undefined ||
    other.methods === undefined ||
    methods.some((name) => other.methods?.has(name) === true);
  const hasHost =
    one.hosts === undefined ||
    other.hosts === undefined ||
    one.hosts.some((host) => other.hosts?.includes(host) === true);
  return hasMethod && hasHost;
}

function warning(deny: Rule, permit: Rule, { source }: Template): Finding {
  return {
    severity: 'warning',
    code: 'deny_slash',
    ...deny.at,
    path: deny.id,
    message: `"${deny.id}" does not deny "${source}/", which "${permit.id}" is for`,
    suggestion: `add "${source}/" to its paths, unless the application tells the two apart`,
  };
}
