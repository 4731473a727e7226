import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { root } from '../envoy/find-envoy.js';
import { createCases } from '../examples/quickstart/cases.js';
import { checkRequestOf } from '../examples/quickstart/direct.js';
import { startSidecar } from '../examples/quickstart/sidecar.js';
import { createWorkplace, reserve } from '../examples/quickstart/workplace.js';
import { checkPath } from '../src/server/listener.js';
import { encodeCheckRequest } from '../src/wire/external-auth.js';
import { decodeCheckResponse } from '../src/wire/received-response.js';

/** One thing that is measured: a server, what is asked of it, and what it must answer. */
interface Arm {
  readonly name: string;
  readonly port: number;
  readonly body: Buffer;
  readonly isRight: (answer: Buffer) => boolean;
}

const concurrency = 64;
const roundMs = 1_500;
const rounds = 5;

/** One gRPC message: a flag, four bytes of length, the message. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

/** A closed loop of `concurrency` calls on one connection; gives answers per second. */
async function measure(arm: Arm): Promise<number> {
  const session = connect(`http://127.0.0.1:${arm.port}`);
  const end = performance.now() + roundMs;
  let answers = 0;
  const call = () =>
    new Promise<void>((resolve, reject) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': checkPath,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('error', reject);
      stream.once('end', () => {
        if (!arm.isRight(Buffer.concat(chunks).subarray(5))) {
          reject(new Error(`${arm.name}: a wrong answer, the run is void`));
          return;
        }
        answers += 1;
        resolve();
      });
      stream.end(arm.body);
    });
  const loop = async () => {
    while (performance.now() < end) await call();
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  session.close();
  return answers / (roundMs / 1000);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

const isPermit = (answer: Buffer) => {
  const decoded = decodeCheckResponse(answer);
  return decoded.ok && decoded.value.status === 0 && decoded.value.ok !== undefined;
};

async function startFloor(port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(root, 'build', 'bench', 'floor.js'), String(port)]);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return child;
}

const [floorPort = 0] = await reserve(1);
const floor = await startFloor(floorPort);
const workplace = await createWorkplace();
const cases = await createCases(workplace);
workplace.write(
  'countersign.yaml',
  `${(await import('node:fs')).readFileSync(workplace.configFile, 'utf8')}decisionLog: { to: off }\n`,
);
const sidecar = await startSidecar(workplace.configFile, workplace.ports.admin);
try {
  const calls = cases.flatMap(({ steps }) => steps.map(({ call }) => call));
  const body = (path: string) => {
    const call = calls.find((candidate) => candidate.path === path);
    if (call === undefined) throw new Error(`no case has the path ${path}`);
    return framed(encodeCheckRequest(checkRequestOf(workplace, call, '1')));
  };
  const port = workplace.ports.countersign;
  const plain = body('/finance/reports/q3');
  const arms: readonly Arm[] = [
    { name: 'floor: bare grpc-js', port: floorPort, body: plain, isRight: isPermit },
    { name: 'SPIFFE + certificate + path', port, body: plain, isRight: isPermit },
    {
      name: 'JWT, verified before',
      port,
      body: body('/deployments/web-7/logs'),
      isRight: isPermit,
    },
    {
      name: 'JWT + CEL on claims and captures',
      port,
      body: body('/tenants/acme/customers/c-17'),
      isRight: isPermit,
    },
  ];
  const measured = new Map<string, number[]>(arms.map(({ name }) => [name, []]));
  for (const arm of arms) await measure(arm);
  for (let round = 0; round < rounds; round += 1) {
    for (const arm of arms) measured.get(arm.name)?.push(await measure(arm));
  }
  const base = median(measured.get(arms[0]?.name ?? '') ?? []);
  process.stdout.write(
    'arm                                 answers/s   spread          to the floor\n',
  );
  for (const [name, values] of measured) {
    const spread = `${Math.round(Math.min(...values))}–${Math.round(Math.max(...values))}`;
    const ratio = (median(values) / base).toFixed(2);
    process.stdout.write(
      `${name.padEnd(34)} ${String(Math.round(median(values))).padStart(10)}   ${spread.padEnd(14)}  ${ratio}\n`,
    );
  }
} finally {
  await sidecar.stop();
  floor.kill();
  workplace.remove();
}
