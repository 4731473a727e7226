import type { Caller } from '../identity/caller.js';
import type { JsonObject, JsonValue } from '../json/json-value.js';
import type { McpMessage, Request } from '../request/request.js';
import type { Captures } from '../request/template.js';
import type { CheckedCondition, ConditionFault } from './condition-check.js';
import type { TimeWindow } from './time-window.js';

/** A compiled `when`. */
export interface Condition {
  readonly source: string;
  /** What it was made of: plain data, of which another thread can make it as well. */
  readonly checked: CheckedSource;
  /** The variables it reads: `token`, `approval`, and each with the member read, `request.body`. */
  readonly reads: ReadonlySet<string>;
  /** Scopes that it asks a token for, each in a part of its own (`"name" in token.scopes && …`). */
  readonly scopes: readonly string[];
  /** Names of request headers it reads, lower case (for the log's `full` detail). */
  readonly headers: ReadonlySet<string>;
  /** Names of query parameters it reads, `*` where they cannot be told (for the log's `full` detail). */
  readonly query: ReadonlySet<string>;
  /** Namespaces of Envoy's metadata, and of its route metadata, that it reads; `*` where they cannot be told. */
  readonly metadata: ReadonlySet<string>;
  readonly routeMetadata: ReadonlySet<string>;
  /** True, false, or an error: an expression that fails or gives no boolean. Never throws. */
  evaluate(input: ConditionInput): boolean | ConditionError;
  /** Whether all parts but `scopes` are true. Never throws. */
  holdsButForScopes(input: ConditionInput): boolean;
  /**
   * Each thing it reads with the value it sees, as JSON, for `explain`; credentials and bodies are
   * not shown.
   */
  values(input: ConditionInput): readonly { readonly name: string; readonly value: string }[];
}

export interface ConditionError {
  /** One sentence; names variables and types, never values of credentials. */
  readonly error: string;
}

/** Everything a condition can see; all of it verified or taken from Envoy before. */
export interface ConditionInput {
  readonly request: Request;
  readonly captures: Captures;
  readonly caller: Caller;
  /** Name of the policy's principal that matched; '' for none. */
  readonly principal: string;
  readonly mcp: McpMessage | undefined;
  /** The body as JSON; undefined when there is none. */
  readonly body: JsonValue | undefined;
  readonly approvalClaims: JsonObject | undefined;
  /** The posture file's entry of the caller; undefined when it lists none. */
  readonly posture: JsonObject | undefined;
  readonly facts: JsonObject;
  readonly data: JsonObject;
  readonly nowMs: number;
}

/** What the conditions of one rule may name. */
export interface ConditionScope {
  /** Captures of any of the rule's templates. */
  readonly captures: readonly string[];
  readonly facts: JsonObject;
  /** Names of the data files. */
  readonly dataFiles: readonly string[];
  /** Their content, where it is known at load. */
  readonly data?: JsonObject | undefined;
  readonly windows: ReadonlyMap<string, TimeWindow>;
}

/** A condition without a fault, and what it reads. Plain data: no functions. */
export interface CheckedSource extends Omit<CheckedCondition, 'faults'> {
  readonly source: string;
  /** What `Condition.reads` says. */
  readonly names: ReadonlySet<string>;
  readonly scopes: readonly string[];
  /** What would fail with the data files as they are now; they may change while it is in force. */
  readonly doubts: readonly ConditionFault[];
}

/** What makes a checked source run: apart, so that CEL is loaded where a rule has a condition alone. */
export interface ConditionEngine {
  plan(checked: CheckedSource, windows: ConditionScope['windows']): PlannedCondition;
}

export type PlannedCondition = Pick<Condition, 'evaluate' | 'holdsButForScopes' | 'values'>;

/**
 * Makes a condition of what `checkSource` found good. It is planned when it is first asked: of ten
 * thousand conditions, most wait long for that, and a plan takes ten times the memory of its source.
 */
export function createCondition(
  checked: CheckedSource,
  windows: ConditionScope['windows'],
  engine: ConditionEngine,
): Condition {
  const { source, names, scopes, headers, query, metadata, routeMetadata } = checked;
  let made: PlannedCondition | undefined;
  const planned = () => {
    made ??= engine.plan(checked, windows);
    return made;
  };
  return {
    source,
    checked,
    reads: names,
    scopes,
    headers,
    query,
    metadata,
    routeMetadata,
    evaluate: (input) => {
      try {
        return planned().evaluate(input);
      } catch {
        return { error: 'the expression cannot be evaluated' };
      }
    },
    holdsButForScopes: (input) => {
      try {
        return planned().holdsButForScopes(input);
      } catch {
        return false;
      }
    },
    values: (input) => planned().values(input),
  };
}
