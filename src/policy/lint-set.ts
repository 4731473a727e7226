import type { Finding } from '../document/finding.js';
import type { LintCode } from '../document/lint-codes.js';
import { matchTemplate, type Template } from '../request/template.js';
import type { Rule } from './policy-set.js';
import type { Principal } from './principal.js';
import { type Address, type IndexedRule, RuleIndex } from './rule-index.js';

/** Gives the rules, in file order, that may be wider than a rule: all that are, and perhaps others. */
type WiderThan = (rule: IndexedRule, effect: Rule['effect']) => readonly Rule[];

/**
 * What the rules of all files do to each other: a permit that a deny rule takes whole, a rule that
 * another of its effect makes needless. Rules are found by index, so that ten thousand are no matter.
 * @param widerThan what finds them; a test tries all
 */
export function lintSet(
  rules: readonly IndexedRule[],
  widerThan: WiderThan = indexWider(rules),
): readonly Finding[] {
  return rules.flatMap((indexed): readonly Finding[] => {
    const { rule } = indexed;
    if (rule.mode !== 'enforce' || rule.route.tcp !== undefined) return [];
    const deny =
      rule.effect === 'permit'
        ? widerThan(indexed, 'deny').find(
            (wider) =>
              wider.effect === 'deny' && isForAll(wider) && isPlain(wider) && covers(wider, rule),
          )
        : undefined;
    if (deny !== undefined) {
      const message = `"${rule.id}" can never permit: the deny rule "${deny.id}" takes all it is for`;
      return [warning('unreachable_rule', rule, message)];
    }
    const wider = widerThan(indexed, rule.effect).find(
      (other) =>
        other !== rule &&
        other.effect === rule.effect &&
        isPlain(other) &&
        // A plain permit is for no upgrade.
        (rule.effect === 'deny' || rule.route.upgrade === undefined) &&
        hasPrincipals(other, rule) &&
        covers(other, rule),
    );
    if (wider === undefined || (isTwin(wider, rule) && wider.order > rule.order)) return [];
    const message = `"${rule.id}" adds nothing: "${wider.id}" ${verbs[rule.effect]} all it is for`;
    return [warning('covered_rule', rule, message)];
  });
}

function isPlain(rule: Rule): boolean {
  return rule.mode === 'enforce' && isUnconditional(rule);
}

/**
 * Rules by effect, one caller, one method, host and path: however many rules share a path, those of
 * other callers and methods are not looked at.
 */
function indexWider(rules: readonly IndexedRule[]): WiderThan {
  const indexes = new Map<string, RuleIndex>();
  const ids = new Map<Principal, string>();
  const idOf = (principal: Principal) => {
    const known = ids.get(principal) ?? String(ids.size);
    ids.set(principal, known);
    return known;
  };
  for (const indexed of rules) {
    if (!isPlain(indexed.rule)) continue;
    const { effect, principals, route } = indexed.rule;
    const callers = isForAll(indexed.rule)
      ? ['anyone']
      : principals.map((it) => (it.name === 'authenticated' ? it.name : idOf(it)));
    for (const caller of new Set(callers)) {
      for (const method of route.methods ?? ['']) {
        const key = `${effect} ${caller} ${method}`;
        const index = indexes.get(key) ?? new RuleIndex();
        index.add(indexed);
        indexes.set(key, index);
      }
    }
  }
  return (indexed, effect) => {
    const { principals, route } = indexed.rule;
    const [first] = principals;
    const own = first === undefined || isForAll(indexed.rule) ? [] : [idOf(first)];
    const [method] = route.methods ?? [];
    const keys = ['anyone', 'authenticated', ...own].flatMap((caller) =>
      (method === undefined ? [''] : ['', method]).map((name) => `${effect} ${caller} ${name}`),
    );
    const address = addressOf(indexed);
    const found = keys.flatMap((key) => indexes.get(key)?.find(address) ?? []);
    return found.map(({ rule }) => rule).sort((a, b) => a.order - b.order);
  };
}

const verbs = { permit: 'permits', deny: 'denies' } as const;

function warning(code: LintCode, rule: Rule, message: string): Finding {
  const { file, line, column } = rule.at;
  const path = rule.id;
  return { severity: 'warning', code, file, line, column, path, message, suggestion: undefined };
}

/** Whether each rule is as wide as the other; then only the later one is said to add nothing. */
function isTwin(one: Rule, other: Rule): boolean {
  const width = ({ route, principals }: Rule) =>
    JSON.stringify([
      route.templates?.map(({ source }) => source).sort(),
      route.hosts === undefined ? undefined : [...route.hosts].sort(),
      route.methods === undefined ? undefined : [...route.methods].sort(),
      principals.map(({ name }) => name).sort(),
    ]);
  return isUnconditional(other) && width(one) === width(other);
}

function isUnconditional({ when, source, during, require, route }: Rule): boolean {
  const asks = Object.values(require).some((part) => part !== undefined);
  const isOfRequests =
    route.grpc === undefined &&
    route.mcp === undefined &&
    route.tcp === undefined &&
    route.upgrade === undefined;
  return (
    when === undefined && source === undefined && during === undefined && !asks && isOfRequests
  );
}

function isForAll({ principals }: Rule): boolean {
  return principals.length === 0 || principals.some(({ name }) => name === 'anyone');
}

/** Whether everybody that `rule` is for, `wider` is for as well. */
function hasPrincipals(wider: Rule, rule: Rule): boolean {
  if (isForAll(wider)) return true;
  if (isForAll(rule)) return false;
  return rule.principals.every((principal) =>
    wider.principals.some((other) => other === principal || other.name === 'authenticated'),
  );
}

/** What a request for the rule could ask for, of its hosts and paths the one that fewest rules have. */
function addressOf({ hosts, templates }: IndexedRule): Address {
  const pattern = hosts?.[0];
  const below = pattern?.isWildcard === false ? '' : `${nowhere}.`;
  const host = { name: `${below}${pattern?.name ?? ''}`, port: pattern?.port };
  const [template] = [...(templates ?? [])].sort((a, b) => b.parts.length - a.parts.length);
  const segments = template === undefined ? [nowhere] : samplePath(template);
  return { host, path: { raw: '', segments } };
}

/** A name and a segment that no rule has. */
const nowhere = '\u0000';

function samplePath({ parts }: Template): readonly string[] {
  return parts.map((part) => (part.kind === 'literal' ? part.text : nowhere));
}

function covers({ route }: Rule, { route: narrow }: Rule): boolean {
  const hasHosts =
    route.hosts === undefined ||
    narrow.hosts?.every((host) => route.hosts?.includes(host)) === true;
  const { methods } = route;
  const hasMethods =
    methods === undefined ||
    (narrow.methods !== undefined && [...narrow.methods].every((name) => methods.has(name)));
  if (!hasHosts || !hasMethods) return false;
  if (route.templates === undefined) return true;
  return (
    narrow.templates?.every((template) =>
      route.templates?.some((wider) => coversTemplate(wider, template)),
    ) === true
  );
}

/** Whether every path of `template` is one of `wider`: captures stand for a segment of their own. */
function coversTemplate(wider: Template, template: Template): boolean {
  const isOpen = template.parts.some(({ kind }) => kind === 'any');
  const isWiderOpen = wider.parts[wider.parts.length - 1]?.kind === 'any';
  return (!isOpen || isWiderOpen) && matchTemplate(wider, samplePath(template)) !== undefined;
}
