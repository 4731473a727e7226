import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
type Client = typeof import('prom-client');

// File by file: the package as a whole brings a push gateway, a cluster and OpenTelemetry's interfaces,
// which takes a tenth of the time to be ready.
export const Counter = require('prom-client/lib/counter') as Client['Counter'];
export const Gauge = require('prom-client/lib/gauge') as Client['Gauge'];
export const Histogram = require('prom-client/lib/histogram') as Client['Histogram'];
export const Registry = require('prom-client/lib/registry') as Client['Registry'];

/** The rest of the package: the metrics of the process itself, and sums over processes. */
export function wholeClient(): Client {
  return require('prom-client') as Client;
}
