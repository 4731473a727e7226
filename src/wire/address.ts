/** envoy.config.core.v3.Address, as the one alternative that was set. */
export type Address =
  | {
      readonly kind: 'socket';
      readonly protocol: number;
      readonly address: string;
      readonly port: number | undefined;
      readonly namedPort: string | undefined;
      readonly resolverName: string;
      readonly ipv4Compat: boolean;
      readonly networkNamespaceFilepath: string;
    }
  | { readonly kind: 'pipe'; readonly path: string; readonly mode: number }
  | {
      readonly kind: 'internal';
      readonly serverListenerName: string | undefined;
      readonly endpointId: string;
    };
