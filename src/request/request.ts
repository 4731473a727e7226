import type { JsonObject, JsonValue } from '../json/json-value.js';
import type { Struct } from '../wire/struct.js';

/** What one Check is about: an HTTP request, or a TCP connection (a Check without `http`). */
export type Request = HttpRequest | Connection;

/** What both kinds of Check carry. All of it is Envoy's word; nothing of it is verified here. */
export interface Attributes {
  /** The peer as Envoy names it: `source.principal` and the PEM of `source.certificate`. */
  readonly peer: { readonly principal: string; readonly certificatePem: string | undefined };
  readonly destination: {
    readonly principal: string;
    readonly ip: string | undefined;
    readonly port: number | undefined;
  };
  /** The client's address by `trust.clientAddress`; undefined when none can be named for certain. */
  readonly client: ClientAddress | undefined;
  readonly sni: string;
  readonly envoy: {
    readonly contextExtensions: ReadonlyMap<string, string>;
    readonly metadata: ReadonlyMap<string, Struct>;
    readonly routeMetadata: ReadonlyMap<string, Struct>;
  };
}

export interface ClientAddress {
  /** Canonical text: dotted IPv4, or RFC 5952 IPv6; an IPv4-mapped IPv6 address is IPv4. */
  readonly ip: string;
  readonly port: number | undefined;
}

export interface HttpRequest extends Attributes {
  readonly kind: 'http';
  /** Envoy's stream id, the same when its gRPC client sends the Check again. */
  readonly id: string;
  readonly method: string;
  readonly scheme: string;
  readonly protocol: string;
  readonly host: Host;
  readonly path: Path;
  /** The text after the first `?`, as received; '' without one. */
  readonly rawQuery: string;
  readonly headers: Headers;
  /** Stream start by Envoy's clock, milliseconds since the epoch; undefined when Envoy sent none. */
  readonly startedAtMs: number | undefined;
  readonly body: Body;
  /** The `upgrade` header's protocols in lower case (`websocket`); empty for a plain request. */
  readonly upgrade: readonly string[];
  /** Set when the request is a gRPC call: POST, a gRPC content type, `/pkg.Service/Method`. */
  readonly grpc: GrpcCall | undefined;
}

export interface Connection extends Attributes {
  readonly kind: 'tcp';
}

export interface Host {
  /** Lower case, without port and trailing dot; IPv6 literals in brackets. */
  readonly name: string;
  readonly port: number | undefined;
}

export interface Path {
  /** As received, without the query. */
  readonly raw: string;
  /** Decoded once; a trailing slash is a last empty segment; `/` is ['']. */
  readonly segments: readonly string[];
}

/** Lower-case name → values in order of arrival, each one field line of the request. */
export type Headers = ReadonlyMap<string, readonly string[]>;

/**
 * What is known of the body. `absent`: the request has none. `whole`: all of it. `unknown`: there
 * may be one that we do not have whole, and why.
 */
export type Body =
  | { readonly state: 'absent' }
  | { readonly state: 'whole'; readonly bytes: Uint8Array }
  | {
      readonly state: 'unknown';
      readonly why: string;
      /** False where Envoy sent no byte and no word of a body: it was not asked to. */
      readonly isSent: boolean;
    };

export interface GrpcCall {
  readonly service: string;
  readonly method: string;
}

/** The one JSON-RPC message of an MCP POST, or the fact that the request carries none (GET, DELETE). */
export type McpMessage =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'message';
      readonly id: string | number | undefined;
      readonly method: string;
      readonly tool: string | undefined;
      readonly resource: string | undefined;
      readonly prompt: string | undefined;
      readonly arguments: JsonObject | undefined;
      /** False where arguments that the message has may be missing from `arguments`. */
      readonly hasAllArguments: boolean;
      readonly params: JsonObject | undefined;
    };

/** A request body read as JSON, for rules whose condition reads `request.body`. */
export type JsonBody = JsonValue | undefined;
