import type { Connection, Request } from '../request/request.js';
import type { CompiledRule } from './compile-rule.js';
import type { Candidate, PolicySet, Rule } from './policy-set.js';
import { type Address, RuleIndex } from './rule-index.js';
import type { Steps } from './steps.js';

/** Rules in file order as one immutable set, found by index; a step is one rule. */
export function* createSet(compiled: readonly CompiledRule[], revision: string): Steps<PolicySet> {
  const requests = new RuleIndex();
  const connections = new RuleIndex();
  for (const one of compiled) {
    (one.rule.route.tcp === undefined ? requests : connections).add(one);
    yield;
  }
  return Object.freeze({
    revision,
    rules: compiled.map(({ rule }) => rule),
    candidates: (request: Request): readonly Candidate[] =>
      request.kind === 'http'
        ? requests.find(request)
        : connections.find(addressOf(request)).filter(({ rule }) => hasPort(rule, request)),
  });
}

const noPath = { raw: '', segments: [] };

/** The SNI stands where a request has its host. */
function addressOf({ sni }: Connection): Address {
  const name = sni.toLowerCase().replace(/\.$/, '');
  return { host: { name, port: undefined }, path: noPath };
}

function hasPort({ route }: Rule, { destination }: Connection): boolean {
  const ports = route.tcp?.ports;
  return ports === undefined || (destination.port !== undefined && ports.has(destination.port));
}
