import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { withoutEnvoy } from '../../envoy/find-envoy.js';
import { send } from '../../examples/quickstart/client.js';
import { until } from '../../examples/quickstart/sidecar.js';
import { Collector } from '../support/collector.js';
import { createStage, type Stage } from './stage.js';

const suite = withoutEnvoy ? describe.skip : describe;
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';

suite('traces through a real Envoy', () => {
  const collector = new Collector();
  let stage: Stage;
  before(async function () {
    this.timeout(40_000);
    const url = await collector.start();
    stage = await createStage({
      prepare: async (workplace) => {
        await workplace.addCaller('agent', 'spiffe://prod.example/ns/agents/sa/planner');
        const config = readFileSync(workplace.configFile, 'utf8');
        workplace.write('countersign.yaml', `${config}tracing: { otlp: "${url}", ratio: 0 }\n`);
      },
    });
  });
  after(async () => {
    await stage.close();
    await collector.stop();
  });

  it('join the trace of a request that is sampled, and of no other', async () => {
    const ask = (flags: string) =>
      send(
        stage.workplace,
        {
          method: 'POST',
          path: '/finance/transfers',
          as: 'agent',
          headers: { traceparent: `00-${traceId}-${parentId}-${flags}` },
        },
        'HTTP/1.1',
      );
    await ask('00');
    const { body } = await ask('01');
    await until(async () => collector.spans.length > 0, 'the collector has no span');
    const [span, ...more] = collector.spans;
    expect(more).to.deep.equal([]);
    expect(span).to.deep.include({ traceId, parentSpanId: parentId });
    const attributes = Object.fromEntries(
      (span?.attributes ?? []).map(({ key, value }) => [key, value.stringValue]),
    );
    expect(attributes).to.deep.include({
      'countersign.code': 'denied_by_rule',
      'countersign.principal': 'spiffe://prod.example/ns/agents/sa/planner',
    });
    expect(body).to.include(attributes['countersign.decision']);
  });
});
