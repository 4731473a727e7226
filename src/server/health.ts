import { type ServingStatus, servingStatus } from '../wire/health.js';
import { authorizationService } from './listener.js';

export type StopWatching = () => void;

/** The state behind `grpc.health.v1`: one for the server and its one service alike. */
export interface Health {
  setServing(isServing: boolean): void;
  /** Undefined for a service that is not served here. */
  check(service: string): ServingStatus | undefined;
  /** Calls `tell` with the status now and with every change. */
  watch(service: string, tell: (status: ServingStatus) => void): StopWatching;
}

export function createHealth(): Health {
  let status: ServingStatus = servingStatus.notServing;
  const watchers = new Set<(status: ServingStatus) => void>();
  const isKnown = (service: string) => service === '' || service === authorizationService;
  return {
    setServing(isServing) {
      const next = isServing ? servingStatus.serving : servingStatus.notServing;
      if (next === status) return;
      status = next;
      for (const tell of watchers) tell(status);
    },
    check: (service) => (isKnown(service) ? status : undefined),
    watch(service, tell) {
      if (!isKnown(service)) {
        tell(servingStatus.serviceUnknown);
        return () => {};
      }
      watchers.add(tell);
      tell(status);
      return () => watchers.delete(tell);
    },
  };
}
