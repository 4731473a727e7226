import type { Refusal } from '../errors.js';
import type { JsonObject } from '../json/json-value.js';
import type { Template } from '../request/template.js';

/** A verified approval: signed by its board, in its dates. Whether it covers the request is asked per rule. */
export interface Approval {
  /** Configured name of the board. */
  readonly board: string;
  readonly subject: string;
  readonly approver: string;
  readonly jti: string;
  readonly methods: readonly string[];
  readonly templates: readonly Template[];
  readonly claims: JsonObject;
  /** Epoch milliseconds from which it is expired for certain (tolerance included). */
  readonly expiresAtMs: number;
}

/** What the request brought as approval: none, a good one, or why it is none. */
export type ApprovalEvidence = Approval | Refusal | undefined;
