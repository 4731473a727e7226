import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { Call } from '../../examples/quickstart/client.js';
import type { Workplace } from '../../examples/quickstart/workplace.js';

/** What a kind of call must be answered with, and how often it was answered with what. */
export interface Tally {
  readonly sent: number;
  /** How often by `STATUS CODE`: `200 permitted`, `403 denied_by_rule`, `503 ` of Envoy alone. */
  readonly answers: Readonly<Record<string, number>>;
}

export interface Load {
  /** Sends no more, waits for what is on its way, and tells what became of each kind of call. */
  stop(): Promise<Readonly<Record<string, Tally>>>;
}

const everyMs = 10;

/**
 * An open loop through Envoy: one call of each kind every ten milliseconds, whether or not the ones
 * before were answered, on connections that are kept.
 */
export function startLoad(workplace: Workplace, kinds: Readonly<Record<string, Call>>): Load {
  const lanes = Object.entries(kinds).map(([name, call]) => lane(workplace, name, call));
  const timer = setInterval(() => {
    for (const { send } of lanes) send();
  }, everyMs);
  return {
    async stop() {
      clearInterval(timer);
      return Object.fromEntries(await Promise.all(lanes.map(({ end }) => end())));
    },
  };
}

function lane(workplace: Workplace, name: string, { method, path, as, headers = {} }: Call) {
  const read = (file: string) => readFileSync(workplace.path(file));
  const agent = new Agent({
    keepAlive: true,
    ca: read('certs/ca.pem'),
    ...(as === undefined ? {} : { cert: read(`certs/${as}.pem`), key: read(`certs/${as}.key`) }),
  });
  const target = { host: '127.0.0.1', port: workplace.ports.ingress, method, path, headers, agent };
  const answers: Record<string, number> = {};
  const open = new Set<Promise<void>>();
  let sent = 0;
  const ask = () =>
    new Promise<string>((resolve) => {
      const call = request(target, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += String(chunk);
        });
        response.once('end', () => resolve(`${response.statusCode} ${codeOf(body)}`));
        response.once('error', ({ message }) => resolve(message));
      });
      call.once('error', ({ message }) => resolve(message));
      call.end();
    });
  return {
    send() {
      sent += 1;
      const one = ask().then((answer) => {
        answers[answer] = (answers[answer] ?? 0) + 1;
        open.delete(one);
      });
      open.add(one);
    },
    async end(): Promise<[string, Tally]> {
      await Promise.all(open);
      agent.destroy();
      return [name, { sent, answers }];
    },
  };
}

/** The application's answer carries the decision that let it through; a deny carries its code. */
function codeOf(body: string): string {
  if (body.includes('"hello"')) return body.includes('"decision"') ? 'permitted' : 'let through';
  return /"code":"([a-z_]+)"/.exec(body)?.[1] ?? '';
}
