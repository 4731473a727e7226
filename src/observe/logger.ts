import { type DestinationStream, type Logger, pino } from 'pino';

/** Names under which a library could hand us something secret; never written. */
const secrets = ['token', 'authorization', 'cookie', 'key', 'password', 'secret', 'body'];

/** The operator's log: JSON lines with `time` in ISO 8601 and `level` as a word. */
export function createLogger(destination: DestinationStream): Logger {
  return pino(
    {
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: { paths: secrets.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    destination,
  );
}
