import type { AttributeContext } from './attribute-context.js';
import type { HeaderOverwrite } from './base.js';
import type { Struct } from './struct.js';

/** envoy.service.auth.v3.CheckRequest. */
export interface CheckRequest {
  readonly attributes: AttributeContext | undefined;
}

/**
 * envoy.service.auth.v3.CheckResponse in the only two shapes that Countersign sends (ENVOY.md 1.2):
 * an answer with neither, or with both, cannot be written in this type. `error_response` does not
 * exist here, because Envoy's `failure_mode_allow` would turn it into an allow.
 */
export type CheckResponse =
  | {
      readonly kind: 'ok';
      readonly headers: readonly HeaderOverwrite[];
      readonly headersToRemove: readonly string[];
      readonly dynamicMetadata: Struct;
    }
  | {
      readonly kind: 'denied';
      /** google.rpc.Code, never 0. */
      readonly status: DeniedRpcCode;
      /** HTTP status 400–599. */
      readonly httpStatus: number;
      readonly headers: readonly HeaderOverwrite[];
      readonly body: string;
      readonly dynamicMetadata: Struct;
    };

/** google.rpc.Code: INVALID_ARGUMENT 3, PERMISSION_DENIED 7, UNAVAILABLE 14, UNAUTHENTICATED 16. */
export type DeniedRpcCode = 3 | 7 | 14 | 16;
