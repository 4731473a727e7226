import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import type { Workplace } from './workplace.js';

export interface Call {
  readonly method: string;
  readonly path: string;
  /** Name of the caller's certificate; undefined: none. */
  readonly as?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export type Protocol = 'HTTP/1.1' | 'HTTP/2';

/** Sends one request to the workplace's Envoy, by mTLS where the caller has a certificate. */
export function send(workplace: Workplace, call: Call, protocol: Protocol): Promise<Answer> {
  return protocol === 'HTTP/2' ? sendHttp2(workplace, call) : sendHttp1(workplace, call);
}

function tls(workplace: Workplace, as: string | undefined) {
  const read = (path: string) => readFileSync(workplace.path(path));
  return {
    ca: read('certs/ca.pem'),
    ...(as === undefined ? {} : { cert: read(`certs/${as}.pem`), key: read(`certs/${as}.key`) }),
  };
}

function sendHttp1(workplace: Workplace, call: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: workplace.ports.ingress,
        method: call.method,
        path: call.path,
        headers: { ...call.headers, ...length(call) },
        agent: false,
        ...tls(workplace, call.as),
      },
      (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += String(chunk);
        });
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
        response.once('error', reject);
      },
    );
    request.once('error', reject);
    request.setTimeout(15_000, () => request.destroy(new Error('no answer in 15 s')));
    request.end(call.body);
  });
}

function length({ body }: Call): Record<string, string> {
  return body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
}

function sendHttp2(workplace: Workplace, call: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const session = connect(
      `https://127.0.0.1:${workplace.ports.ingress}`,
      tls(workplace, call.as),
    );
    session.once('error', reject);
    const stream = session.request({
      ':method': call.method,
      ':path': call.path,
      ...call.headers,
      ...length(call),
    });
    let status = 0;
    let headers: Answer['headers'] = {};
    let body = '';
    stream.once('response', (received) => {
      status = Number(received[':status']);
      headers = received as Answer['headers'];
    });
    stream.on('data', (chunk) => {
      body += String(chunk);
    });
    stream.once('error', reject);
    stream.once('end', () => {
      session.close();
      resolve({ status, headers, body });
    });
    stream.setTimeout(15_000, () => stream.destroy(new Error('no answer in 15 s')));
    stream.end(call.body);
  });
}
