import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';
import { until } from '../../examples/quickstart/sidecar.js';
import type { CheckRecord } from '../../src/check.js';
import { parseTraceparent } from '../../src/observe/trace-context.js';
import { createTracer, type Tracer } from '../../src/observe/tracer.js';
import { Collector } from '../support/collector.js';
import { createWorld, type World } from '../support/world.js';

const policy = `version: 1
policy: p
rules:
  - { id: read, effect: permit, principals: [authenticated], methods: [GET], paths: [/a] }
`;
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const sampled = `00-${traceId}-${parentId}-01`;

describe('traceparent', () => {
  const rows: readonly { name: string; lines: readonly string[] | undefined; want: string }[] = [
    { name: 'a sampled one', lines: [sampled], want: `${traceId} ${parentId} true` },
    {
      name: 'one that is not sampled',
      lines: [`00-${traceId}-${parentId}-00`],
      want: `${traceId} ${parentId} false`,
    },
    {
      name: 'other flags beside the one',
      lines: [`00-${traceId}-${parentId}-03`],
      want: `${traceId} ${parentId} true`,
    },
    {
      name: 'a later version with more fields',
      lines: [`cc-${traceId}-${parentId}-01-what`],
      want: `${traceId} ${parentId} true`,
    },
    { name: 'none', lines: undefined, want: 'none' },
    { name: 'an empty one', lines: [''], want: 'none' },
    { name: 'two', lines: [sampled, sampled], want: 'none' },
    { name: 'version ff', lines: [`ff-${traceId}-${parentId}-01`], want: 'none' },
    { name: 'more fields in version 00', lines: [`${sampled}-x`], want: 'none' },
    { name: 'an all-zero trace', lines: [`00-${'0'.repeat(32)}-${parentId}-01`], want: 'none' },
    { name: 'an all-zero parent', lines: [`00-${traceId}-${'0'.repeat(16)}-01`], want: 'none' },
    { name: 'upper case', lines: [sampled.toUpperCase()], want: 'none' },
    { name: 'a short trace', lines: [`00-${traceId.slice(1)}-${parentId}-01`], want: 'none' },
  ];
  for (const { name, lines, want } of rows) {
    it(`is read: ${name}`, () => {
      const context = parseTraceparent(lines);
      const said = context && `${context.traceId} ${context.parentId} ${context.isSampled}`;
      expect(said ?? 'none').to.equal(want);
    });
  }
});

describe('traces', () => {
  let world: World;
  let collector: Collector;
  let url: string;
  let counts: { sent: number; dropped: number };
  const tracers: Tracer[] = [];
  beforeEach(async () => {
    world = await createWorld(policy);
    collector = new Collector();
    url = await collector.start();
    counts = { sent: 0, dropped: 0 };
  });
  afterEach(async () => {
    for (const tracer of tracers.splice(0)) await tracer.close(0);
    await collector.stop();
    world.close();
  });

  const open = (ratio = 0, otlp = url) => {
    let next = 0;
    const tracer = createTracer(
      { otlp, ratio },
      {
        version: '1.2.3',
        random: () => 0.5,
        randomHex: (bytes) => {
          next += 1;
          return String(next).padStart(2 * bytes, '0');
        },
        onSent: (spans) => {
          counts.sent += spans;
        },
        onDropped: (spans) => {
          counts.dropped += spans;
        },
      },
    );
    tracers.push(tracer);
    return tracer;
  };
  const ask = async (headers: Record<string, string> = {}): Promise<CheckRecord> => {
    const token = await world.corp.sign({ sub: 'robot' });
    const given = { authorization: `Bearer ${token}`, ...headers };
    return (await world.ask({ method: 'GET', path: '/a', headers: given })).record;
  };

  it('have a decision as a span of the trace that the request came with', async () => {
    const record = await ask({ traceparent: sampled });
    const tracer = open();
    tracer.record(record);
    await tracer.close(5_000);
    const [span, ...more] = collector.spans;
    expect(more).to.deep.equal([]);
    expect(span).to.deep.include({
      traceId,
      parentSpanId: parentId,
      spanId: '0000000000000001',
      name: 'Check',
      kind: 2,
      status: {},
    });
    expect(span?.attributes.map(({ key, value }) => `${key}=${value.stringValue}`)).to.deep.equal([
      `countersign.decision=${record.decisionId}`,
      'countersign.effect=permit',
      'countersign.code=permitted',
      'countersign.rule=read',
      'countersign.policy=p',
      `countersign.revision=${record.revision}`,
      'countersign.principal=corp:robot',
    ]);
    const took = BigInt(span?.endTimeUnixNano ?? 0) - BigInt(span?.startTimeUnixNano ?? 0);
    expect(Number(took)).to.equal(record.durationUs * 1000);
    expect(span?.startTimeUnixNano).to.equal(`${record.nowMs}000000`);
    expect(counts).to.deep.equal({ sent: 1, dropped: 0 });
  });

  it('name the service and its version', async () => {
    const tracer = open();
    tracer.record(await ask({ traceparent: sampled }));
    await tracer.close(5_000);
    const { attributes } = JSON.parse(collector.bodies[0] ?? '').resourceSpans[0].resource;
    expect(attributes).to.deep.equal([
      { key: 'service.name', value: { stringValue: 'countersign' } },
      { key: 'service.version', value: { stringValue: '1.2.3' } },
    ]);
  });

  const samplings: readonly { name: string; header?: string; ratio: number; want: number }[] = [
    { name: 'a sampled trace always', header: sampled, ratio: 0, want: 1 },
    { name: 'never a trace not sampled', header: sampled.replace(/1$/, '0'), ratio: 1, want: 0 },
    { name: 'no trace at all by chance: drawn', ratio: 0.6, want: 1 },
    { name: 'no trace at all by chance: not drawn', ratio: 0.4, want: 0 },
    { name: 'what is no traceparent by chance', header: 'x', ratio: 0.4, want: 0 },
  ];
  for (const { name, header, ratio, want } of samplings) {
    it(`follow ${name}`, async () => {
      const tracer = open(ratio);
      tracer.record(await ask(header === undefined ? {} : { traceparent: header }));
      await tracer.close(5_000);
      expect(collector.spans).to.have.length(want);
    });
  }

  it('show a failure of Countersign as an error, and a deny by rule as none', async () => {
    const tracer = open();
    const denied = await ask({ traceparent: sampled, authorization: 'Basic eA==' });
    const failed = { ...denied.decision, code: 'store_unavailable' } as CheckRecord['decision'];
    tracer.record(denied);
    tracer.record({ ...denied, decision: failed });
    await tracer.close(5_000);
    expect(collector.spans.map(({ status }) => status)).to.deep.equal([{}, { code: 2 }]);
  });

  it('hold no credential of the request', async () => {
    const tracer = open(1);
    const record = await ask({
      traceparent: sampled,
      tracestate: 'x=S3CRET',
      cookie: 'S3CRET',
      'x-api-key': 'S3CRET',
    });
    tracer.record(record);
    await tracer.close(5_000);
    expect(collector.bodies.join('')).to.match(/countersign\.code/);
    expect(collector.bodies.join('')).to.not.match(/S3CRET|eyJ|Bearer/);
  });

  it('are sent again when the collector was away for a moment', async () => {
    collector.answer = () => ({ status: collector.requests < 2 ? 503 : 200 });
    const tracer = open();
    tracer.record(await ask({ traceparent: sampled }));
    await until(async () => counts.sent === 1, 'the span was not sent again');
    expect([collector.spans.length, counts.dropped]).to.deep.equal([1, 0]);
  });

  it('count what the collector refuses, whole or in part', async () => {
    const answers = [
      { status: 400 },
      { status: 200, body: '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"x"}}' },
    ];
    collector.answer = () => answers[collector.requests - 1] ?? { status: 200 };
    const record = await ask({ traceparent: sampled });
    for (const _ of answers) {
      const tracer = open();
      tracer.record(record);
      tracer.record(record);
      await tracer.close(5_000);
    }
    expect(counts).to.deep.equal({ sent: 1, dropped: 3 });
  });

  it('wait in a bounded queue, and are dropped and counted beyond it', async () => {
    collector.answer = () => 'silence';
    const tracer = open();
    const record = await ask({ traceparent: sampled });
    for (let number = 0; number < 5000; number += 1) tracer.record(record);
    expect(counts).to.deep.equal({ sent: 0, dropped: 5000 - 4096 });
    await tracer.close(50);
    expect(counts).to.deep.equal({ sent: 0, dropped: 5000 });
  });

  it('are dropped and counted when nobody listens and the process ends', async () => {
    const tracer = open(0, 'http://127.0.0.1:9');
    tracer.record(await ask({ traceparent: sampled }));
    await tracer.close(5_000);
    expect(counts).to.deep.equal({ sent: 0, dropped: 1 });
  });
});
