import { because, type Tree } from './annotated.js';
import type { Needs } from './needs.js';
import { nameRules } from './needs.js';

export interface IstioOptions {
  readonly namespace: string;
  /** Labels of the pods that are asked about; empty with a waypoint. */
  readonly selector: Readonly<Record<string, string>>;
  readonly provider: string;
  /** Name of a waypoint's Gateway, in the place of a selector. */
  readonly waypoint: string | undefined;
  /** A Service to ask in the place of the pod's own sidecar: a host and a port. */
  readonly service: { readonly host: string; readonly port: number } | undefined;
}

/** What Istio takes for a provider's name: 63 of a-z, 0-9 and -, none of which ends it. */
export const providerName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The part of MeshConfig that names Countersign. */
export function istioMesh(needs: Needs, options: IstioOptions): Tree {
  const { host, port } = options.service ?? localService(needs, options);
  const name = options.service === undefined ? `${options.namespace}/${host}` : host;
  return because(
    'For meshConfig (IstioOperator, Helm values, or the ConfigMap istio): no object to apply.',
    {
      extensionProviders: [
        {
          name: because(
            'AuthorizationPolicy names it. Istio recognises providers by prefix: with another provider whose name begins with this one (or the other way round), policies of one may ask both. A name that is not defined here denies everything.',
            options.provider,
          ),
          envoyExtAuthzGrpc: {
            service: because(
              'The namespace is part of it, so that an entry of the same host elsewhere is not taken.',
              name,
            ),
            port,
            timeout: because(
              `Istio's default is 600 s. Longer than Countersign's own deadline (${needs.config.deadline} ms).`,
              `${Math.max(1000, needs.config.deadline * 2 + 500) / 1000}s`,
            ),
            failOpen: because('Without an answer nothing goes through.', false),
            statusOnError: because('Tells a sidecar that is away (503) from a deny.', '503'),
            includeRequestBodyInCheck: bodyInCheck(needs),
          },
        },
      ],
    },
  );
}

function bodyInCheck({ bodies, config }: Needs): Tree | undefined {
  if (bodies.length === 0) return undefined;
  return because(`The body, or the MCP message in it, is read by ${nameRules(bodies)}.`, {
    maxRequestBytes: because('The same number as limits.body.', Math.max(1, config.limits.body)),
    allowPartialMessage: because('A longer body is refused with 413, never judged in part.', false),
    packAsBytes: because('As text, Envoy would replace each byte that is no UTF-8.', true),
  });
}

/** The objects to apply: what is asked about, and where Countersign is. */
export function istioObjects(needs: Needs, options: IstioOptions): readonly Tree[] {
  const policy = authorizationPolicy(options);
  return options.service === undefined ? [policy, serviceEntry(needs, options)] : [policy];
}

function authorizationPolicy({ namespace, selector, provider, waypoint }: IstioOptions): Tree {
  const gateway = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: waypoint ?? '' };
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: provider, namespace },
    spec: {
      ...(waypoint === undefined
        ? { selector: { matchLabels: selector } }
        : { targetRefs: [gateway] }),
      action: because(
        'Runs before jwt_authn and before ALLOW and DENY policies, which still count.',
        'CUSTOM',
      ),
      provider: { name: provider },
      rules: because(
        'Every request and every connection. What a narrower rule leaves out is not asked about at all, and goes through.',
        [{}],
      ),
    },
  };
}

function serviceEntry(needs: Needs, options: IstioOptions): Tree {
  const { host, port } = localService(needs, options);
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: options.provider, namespace: options.namespace },
    spec: {
      hosts: [host],
      exportTo: because(
        'For pods of this namespace: each asks its own sidecar. A Sidecar resource whose egress hides this host takes the cluster away: every request is then denied.',
        ['.'],
      ),
      location: 'MESH_INTERNAL',
      resolution: because("The address is each pod's own loopback.", 'STATIC'),
      ports: [
        {
          number: port,
          name: because('The name begins with grpc: HTTP/2.', 'grpc'),
          protocol: 'GRPC',
        },
      ],
      endpoints: because(
        "The port where Countersign listens. The entry's own differs: an Envoy without traffic capture listens on that one itself.",
        [{ address: '127.0.0.1', ports: { grpc: listenPort(needs) } }],
      ),
    },
  };
}

function localService(needs: Needs, { provider, namespace }: IstioOptions) {
  const host = `${provider}.${namespace}.internal`;
  return { host, port: listenPort(needs) === 9190 ? 9191 : 9190 };
}

function listenPort({ listen }: Needs): number {
  return listen.kind === 'tcp' ? listen.port : 9191;
}
