import type { Address } from '../../src/wire/address.js';
import type { AttributePeer } from '../../src/wire/attribute-context.js';
import type { Metadata } from '../../src/wire/base.js';
import type { CheckRequest } from '../../src/wire/external-auth.js';
import type { StructValue } from '../../src/wire/struct.js';

const record = <V>(map: ReadonlyMap<string, V>, of: (value: V) => unknown = (value) => value) =>
  Object.fromEntries([...map].map(([key, value]) => [key, of(value)]));

/** A CheckRequest by the field names of the official protos, written out one by one. */
export function officialNames({ attributes }: CheckRequest): Record<string, unknown> {
  if (attributes === undefined) return {};
  const { request } = attributes;
  const http = request?.http;
  return {
    attributes: {
      source: peer(attributes.source),
      destination: peer(attributes.destination),
      request: request && {
        time: request.time && { seconds: request.time.seconds, nanos: request.time.nanos },
        http: http && {
          id: http.id,
          method: http.method,
          headers: record(http.headers),
          path: http.path,
          host: http.host,
          scheme: http.scheme,
          query: http.query,
          fragment: http.fragment,
          size: http.size,
          protocol: http.protocol,
          body: http.body,
          raw_body: http.rawBody,
          header_map: http.headerMap && {
            headers: http.headerMap.map(({ key, value, rawValue }) => ({
              key,
              value,
              raw_value: rawValue === undefined ? undefined : Buffer.from(rawValue, 'latin1'),
            })),
          },
        },
      },
      context_extensions: record(attributes.contextExtensions),
      metadata_context: metadata(attributes.metadataContext),
      tls_session: attributes.tlsSession && { sni: attributes.tlsSession.sni },
      route_metadata_context: metadata(attributes.routeMetadataContext),
    },
  };
}

function peer(from: AttributePeer | undefined): object | undefined {
  return (
    from && {
      address: from.address && address(from.address),
      service: from.service,
      labels: record(from.labels),
      principal: from.principal,
      certificate: from.certificate,
    }
  );
}

function address(from: Address): object {
  switch (from.kind) {
    case 'socket':
      return {
        socket_address: {
          protocol: from.protocol,
          address: from.address,
          port_value: from.port,
          named_port: from.namedPort,
          resolver_name: from.resolverName,
          ipv4_compat: from.ipv4Compat,
        },
      };
    case 'pipe':
      return { pipe: { path: from.path, mode: from.mode } };
    case 'internal':
      return {
        envoy_internal_address: {
          server_listener_name: from.serverListenerName,
          endpoint_id: from.endpointId,
        },
      };
  }
}

function metadata(from: Metadata | undefined): object | undefined {
  return (
    from && {
      filter_metadata: record(from.filterMetadata, (struct) => ({ fields: fields(struct) })),
      typed_filter_metadata: record(from.typedFilterMetadata, ({ typeUrl, value }) => ({
        type_url: typeUrl,
        value,
      })),
    }
  );
}

function fields(struct: object): object {
  return Object.fromEntries(
    Object.entries(struct).map(([key, value]) => [key, officialValue(value)]),
  );
}

function officialValue(value: StructValue): object {
  if (value === null) return { nullValue: 0 };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(officialValue) } };
  return { structValue: { fields: fields(value) } };
}
