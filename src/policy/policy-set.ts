import type { HttpRequest, McpMessage, Request } from '../request/request.js';
import type { Captures, Template } from '../request/template.js';
import type { AddressRanges } from './address-ranges.js';
import type { Condition } from './condition.js';
import type { Principal } from './principal.js';
import type { TimeWindow } from './time-window.js';

/** All rules of all policy files, compiled once; immutable, replaced whole. */
export interface PolicySet {
  /** Hash of the content it was compiled from: the same files give the same revision. */
  readonly revision: string;
  /** In file order (files sorted by path), which is the order that breaks ties. */
  readonly rules: readonly Rule[];
  /**
   * The rules, in file order, whose host and path have the request's (for a TCP connection: the
   * `tcp` rules). Found by index: the cost depends on the path's length, not on the number of rules.
   */
  candidates(request: Request): readonly Candidate[];
}

/** A rule whose host and path match, with the captures of each of its templates that matched. */
export interface Candidate {
  readonly rule: Rule;
  /** Never empty; one empty object where the rule has no template with captures. */
  readonly captures: readonly Captures[];
}

export interface Rule {
  readonly id: string;
  /** Name of the policy (the file's `policy`). */
  readonly policy: string;
  readonly description: string | undefined;
  readonly effect: 'permit' | 'deny';
  readonly mode: 'enforce' | 'shadow';
  readonly controls: readonly string[];
  /** Where the rule stands. */
  readonly at: { readonly file: string; readonly line: number; readonly column: number };
  /** Position in the set. */
  readonly order: number;
  readonly route: Route;
  /** Any of them; empty for a deny that names none (anyone). */
  readonly principals: readonly Principal[];
  readonly source: AddressRanges | undefined;
  readonly during: readonly TimeWindow[] | undefined;
  readonly require: Requirements;
  readonly when: Condition | undefined;
}

/** What the rule is for; `hosts` and `templates` are the index's business, the rest is matched here. */
export interface Route {
  readonly hosts: readonly string[] | undefined;
  readonly templates: readonly Template[] | undefined;
  readonly methods: ReadonlySet<string> | undefined;
  readonly grpc:
    | ReadonlyArray<{ readonly service: string; readonly method: string | undefined }>
    | undefined;
  readonly mcp: McpRoute | undefined;
  readonly tcp: TcpRoute | undefined;
  readonly upgrade: readonly string[] | undefined;
  /** Method, gRPC, MCP and upgrade together; host and path have matched already. */
  matches(request: HttpRequest, mcp: McpMessage | undefined): boolean;
}

export interface McpRoute {
  readonly methods: readonly string[] | undefined;
  readonly tools: readonly string[] | undefined;
  readonly resources: readonly string[] | undefined;
  readonly prompts: readonly string[] | undefined;
  readonly onlyArguments: ReadonlySet<string> | undefined;
}

export interface TcpRoute {
  readonly ports: ReadonlySet<number> | undefined;
  readonly sni: readonly string[] | undefined;
}

export interface Requirements {
  readonly approval: { readonly from: readonly string[] } | undefined;
  readonly posture: PostureRequirement | undefined;
  readonly maxTokenAgeMs: number | undefined;
  readonly proof: 'mtls-bound' | 'dpop' | undefined;
}

export interface PostureRequirement {
  readonly status: readonly string[] | undefined;
  readonly secretStatus: readonly string[] | undefined;
  readonly maxAgeMs: number | undefined;
}
