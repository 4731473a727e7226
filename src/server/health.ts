import { type ServingStatus, servingStatus } from '../wire/health.js';
import { authorizationService } from './listener.js';

export type StopWatching = () => void;

/** One `Watch` call: told of each status, and ended when the server stops. */
export interface Watcher {
  tell(status: ServingStatus): void;
  end(): void;
}

/** The state behind `grpc.health.v1`: one for the server and its one service alike. */
export interface Health {
  setServing(isServing: boolean): void;
  /** Undefined for a service that is not served here. */
  check(service: string): ServingStatus | undefined;
  /** Tells the status now and with every change; SERVICE_UNKNOWN once for one not served here. */
  watch(service: string, watcher: Watcher): StopWatching;
  /** Ends every `Watch`, which otherwise lasts as long as its caller likes. */
  close(): void;
}

export function createHealth(): Health {
  let status: ServingStatus = servingStatus.notServing;
  const watchers = new Set<{ readonly watcher: Watcher; readonly isKnown: boolean }>();
  const isKnown = (service: string) => service === '' || service === authorizationService;
  return {
    setServing(isServing) {
      const next = isServing ? servingStatus.serving : servingStatus.notServing;
      if (next === status) return;
      status = next;
      for (const entry of watchers) if (entry.isKnown) entry.watcher.tell(status);
    },
    check: (service) => (isKnown(service) ? status : undefined),
    watch(service, watcher) {
      const entry = { watcher, isKnown: isKnown(service) };
      watchers.add(entry);
      watcher.tell(entry.isKnown ? status : servingStatus.serviceUnknown);
      return () => watchers.delete(entry);
    },
    close() {
      for (const { watcher } of watchers) watcher.end();
      watchers.clear();
    },
  };
}
