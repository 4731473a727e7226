import type { Finding } from '../document/finding.js';
import type { LintCode } from '../document/lint-codes.js';
import { matchTemplate, type Template } from '../request/template.js';
import type { Rule } from './policy-set.js';
import { type IndexedRule, RuleIndex } from './rule-index.js';

/**
 * What the rules of all files do to each other: a permit that a deny rule takes whole, a rule that
 * another of its effect makes needless. Rules are found by index, so that ten thousand are no matter.
 */
export function lintSet(rules: readonly IndexedRule[]): readonly Finding[] {
  const plain = rules.filter(({ rule }) => rule.mode === 'enforce' && isUnconditional(rule));
  const denies = new RuleIndex(
    plain.filter(({ rule }) => rule.effect === 'deny' && isForAll(rule)),
  );
  const covering = new RuleIndex(plain);
  return rules.flatMap((indexed): readonly Finding[] => {
    const { rule } = indexed;
    if (rule.mode !== 'enforce' || rule.route.tcp !== undefined) return [];
    const deny = rule.effect === 'permit' ? findWider(denies, indexed, () => true) : undefined;
    if (deny !== undefined) {
      const message = `"${rule.id}" can never permit: the deny rule "${deny.id}" takes all it is for`;
      return [warning('unreachable_rule', rule, message)];
    }
    const wider = findWider(
      covering,
      indexed,
      (other) =>
        other !== rule &&
        other.effect === rule.effect &&
        // A plain permit is for no upgrade.
        (rule.effect === 'deny' || rule.route.upgrade === undefined) &&
        hasPrincipals(other, rule),
    );
    if (wider === undefined || (isTwin(wider, rule) && wider.order > rule.order)) return [];
    const message = `"${rule.id}" adds nothing: "${wider.id}" ${verbs[rule.effect]} all it is for`;
    return [warning('covered_rule', rule, message)];
  });
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
  const isPlain =
    route.grpc === undefined &&
    route.mcp === undefined &&
    route.tcp === undefined &&
    route.upgrade === undefined;
  return when === undefined && source === undefined && during === undefined && !asks && isPlain;
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

/** A rule of the index that has every host, path and method of this one. */
function findWider(
  index: RuleIndex,
  { rule, hosts, templates }: IndexedRule,
  isMeant: (wider: Rule) => boolean,
): Rule | undefined {
  const template = templates?.[0];
  const pattern = hosts?.[0];
  const below = pattern?.isWildcard === false ? '' : `${nowhere}.`;
  const host = { name: `${below}${pattern?.name ?? ''}`, port: undefined };
  const segments = template === undefined ? [nowhere] : samplePath(template);
  return index
    .find({ host, path: { raw: '', segments } })
    .map((candidate) => candidate.rule)
    .find((wider) => isMeant(wider) && covers(wider, rule));
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
