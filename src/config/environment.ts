import type { Environment } from './parse-config.js';

/** The one place that reads the process's environment. */
export function processEnvironment(): Environment {
  // biome-ignore lint/style/noProcessEnv: configuration is the sole reader of the environment
  return process.env;
}
