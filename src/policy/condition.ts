import type { Caller } from '../identity/caller.js';
import type { JsonObject, JsonValue } from '../json/json-value.js';
import type { McpMessage, Request } from '../request/request.js';
import type { Captures } from './policy-set.js';

/** A compiled `when`. */
export interface Condition {
  readonly source: string;
  /** The variables it reads, by root and first member: `token`, `request.body`, `approval`, … */
  readonly reads: ReadonlySet<string>;
  /** Names of request headers it reads, lower case (for the log's `full` detail). */
  readonly headers: ReadonlySet<string>;
  /** True, false, or an error: an expression that fails or gives no boolean. Never throws. */
  evaluate(input: ConditionInput): boolean | ConditionError;
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
