import type { Decoded } from './decoded.js';
import { decode, readFields } from './reader.js';
import { encode } from './writer.js';

/** grpc.health.v1.HealthCheckResponse.ServingStatus. */
export const servingStatus = { unknown: 0, serving: 1, notServing: 2, serviceUnknown: 3 } as const;
export type ServingStatus = (typeof servingStatus)[keyof typeof servingStatus];

/** Reads HealthCheckRequest: the service asked about, '' for the server. */
export function decodeHealthRequest(bytes: Uint8Array): Decoded<string> {
  return decode(bytes, (reader) => {
    let service = '';
    readFields(reader, (field) => {
      if (field !== 1) return false;
      service = reader.string();
      return true;
    });
    return service;
  });
}

export function encodeHealthResponse(status: ServingStatus): Uint8Array {
  return encode((writer) => {
    if (status !== servingStatus.unknown) writer.writeInt(1, status);
  });
}
