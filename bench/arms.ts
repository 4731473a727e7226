import type { Questions } from './load.js';
import {
  acrossRules,
  celQuestions,
  mcpQuestions,
  newTokens,
  spiffeQuestions,
  tokenQuestions,
} from './questions.js';
import { cores } from './servers.js';
import type { BenchPlace, ServeSettings } from './workplace.js';

/** One thing that is measured: how the sidecar is configured, and what is asked of it. */
export interface Arm {
  /** The number in the table, with a letter where there are several of a kind. */
  readonly id: string;
  readonly name: string;
  readonly settings?: Partial<Omit<ServeSettings, 'listen' | 'adminPort'>>;
  readonly transport?: 'unix';
  /** Another product in the sidecar's place, where it is installed. */
  readonly peer?: 'opa';
  readonly core?: string;
  readonly connections?: number;
  /** Asked anew for each round where questions can be asked only once. */
  readonly questions: (place: BenchPlace) => Questions;
  /** The arm that it is compared with beside the floor, and how that is said. */
  readonly beside?: string;
  readonly goal?: Goal;
}

/** `throughput`: answers per core, relative to the other; `time`: CPU time per answer. */
export interface Goal {
  readonly of: 'throughput' | 'time';
  readonly against: 'floor' | 'beside';
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** New tokens that one round asks with: about half a second, and signed before it. */
const newTokensPerRound = 4096;

const faster = (atLeast: number): Goal => ({ of: 'throughput', against: 'floor', atLeast });
const slower = (atMost: number): Goal => ({ of: 'time', against: 'beside', atMost });

const manyRules = (id: string, rules: number): Arm => ({
  id,
  name: `${rules.toLocaleString('en')} rules, each asked about`,
  settings: { rules },
  questions: (place) => acrossRules(place, rules),
  ...(id === '9a' ? {} : { beside: '9a' }),
  ...(id === '9c' ? { goal: slower(1.15) } : {}),
});

export const arms: readonly Arm[] = [
  {
    id: '2',
    name: 'SPIFFE (certificate sent) + method + path',
    questions: spiffeQuestions,
    goal: faster(1.2),
  },
  {
    id: '3',
    name: 'JWT, the same token, verified before',
    questions: (place) => tokenQuestions(place, 1),
    goal: faster(1.2),
  },
  {
    id: '4',
    name: 'JWT, 4,096 tokens in turn',
    questions: (place) => tokenQuestions(place, 4096),
    goal: faster(1.1),
  },
  {
    id: '5a',
    name: 'JWT, every token new, ES256',
    questions: (place) => newTokens(place, 'ES256', newTokensPerRound),
    goal: faster(0.4),
  },
  {
    id: '5b',
    name: 'JWT, every token new, RS256',
    questions: (place) => newTokens(place, 'RS256', newTokensPerRound),
    goal: faster(0.4),
  },
  {
    id: '6',
    name: 'JWT + CEL on claims, captures and facts',
    questions: celQuestions,
    goal: faster(1),
  },
  { id: '7', name: 'JWT + MCP tool call of 2 KiB', questions: mcpQuestions },
  {
    id: '8',
    name: 'as 2, every permit logged',
    settings: { log: 'stdout' },
    questions: spiffeQuestions,
    beside: '2',
    goal: slower(1.15),
  },
  manyRules('9a', 10),
  manyRules('9b', 1000),
  manyRules('9c', 10_000),
  {
    id: '10',
    name: 'as 2, over a unix socket',
    transport: 'unix',
    questions: spiffeQuestions,
    beside: '2',
  },
  {
    id: '11',
    name: 'as 2, two workers on two cores',
    settings: { workers: 2 },
    core: cores.both,
    connections: 4,
    questions: spiffeQuestions,
    beside: '2',
  },
  {
    id: 'opa2',
    name: 'peer: OPA-Envoy, as 2',
    peer: 'opa',
    questions: (place) => spiffeQuestions(place, 'joined'),
    beside: '2',
  },
  {
    id: 'opa3',
    name: 'peer: OPA-Envoy, as 3',
    peer: 'opa',
    questions: (place) => tokenQuestions(place, 1, 'joined'),
    beside: '3',
  },
  {
    id: 'opa4',
    name: 'peer: OPA-Envoy, as 4',
    peer: 'opa',
    questions: (place) => tokenQuestions(place, 4096, 'joined'),
    beside: '4',
  },
  {
    id: 'opa5',
    name: 'peer: OPA-Envoy, as 5a',
    peer: 'opa',
    questions: (place) => newTokens(place, 'ES256', newTokensPerRound, 'joined'),
    beside: '5a',
  },
];

/** The arms of a list like `2,3,9`, with those they are compared with. */
export function armsOf(ids: readonly string[]): readonly Arm[] {
  const isAsked = ({ id, peer }: Arm) =>
    ids.includes(id) || ids.includes(peer ?? id.replace(/[a-z]$/, ''));
  const asked = arms.filter(isAsked);
  return arms.filter((arm) => asked.includes(arm) || asked.some(({ beside }) => beside === arm.id));
}
