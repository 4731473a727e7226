import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { before, describe, it } from 'mocha';
import { parse, stringify } from 'yaml';
import { denyCodesByStatus } from '../../src/errors.js';
import { createMetrics } from '../../src/observe/metrics.js';
import { createSum } from '../../src/observe/sum.js';
import { busy } from '../support/observed.js';
import { itWithPromtool, runPromtool } from '../support/promtool.js';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

interface AlertTest {
  readonly name: string;
  readonly alert_rule_test: readonly {
    readonly alertname: string;
    readonly exp_alerts: readonly unknown[];
  }[];
}

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly w: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const read = (name: string) => readFileSync(join('observability', name), 'utf8');
const rules: readonly Rule[] = parse(read('alerts.yaml')).groups.flatMap(
  ({ rules: own }: { rules: Rule[] }) => own,
);
const tests: readonly AlertTest[] = parse(read('alerts.test.yaml')).tests;
const dashboard: {
  panels: Panel[];
  annotations: { list: { expr: string }[] };
  templating: { list: { query: string | { query: string } }[] };
} = JSON.parse(read('dashboard.json'));

const panelQueries = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr })),
);
const otherQueries = dashboard.annotations.list.map(({ expr }) => ({ title: 'annotation', expr }));
const queries = [...panelQueries, ...otherQueries];
/** As Grafana would send them. */
const filledIn = (expr: string) =>
  expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '6h').replace(/\$\w+/g, '.*');

describe('the alert rules and the dashboard', () => {
  let metrics: ReadonlySet<string>;
  before(async () => {
    const one = await createMetrics(() => busy).render();
    const state = () => ({ entries: 0, capacity: 0, unavailable: 0 });
    const text = `${one.text}${(await createSum(2, state).render(new Map())).text}`;
    const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
      type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    );
    metrics = new Set(['up', ...names]);
  });

  const namesIn = (expr: string) =>
    [...expr.matchAll(/\b(?:countersign|nodejs|process)_\w+|\bup\b/g)].map(([name]) => name);

  it('name only metrics that there are', () => {
    const variables = dashboard.templating.list.map(({ query }) =>
      typeof query === 'string' ? query : query.query,
    );
    const named = [...rules, ...queries].flatMap(({ expr }) => namesIn(expr));
    const inVariables = variables.flatMap(namesIn);
    expect(named.length).to.be.greaterThan(40);
    expect([...named, ...inVariables].filter((name) => !metrics.has(name))).to.deep.equal([]);
  });

  it('show every metric of Countersign on the dashboard', () => {
    const shown = new Set(queries.flatMap(({ expr }) => namesIn(expr)));
    const own = [...metrics].filter((name) => /^countersign_/.test(name));
    const unused = own.filter((name) => !shown.has(name) && !/_(sum|count)$/.test(name));
    expect(unused).to.deep.equal([]);
  });

  it('name only codes that there are', () => {
    const codes: readonly string[] = ['permitted', ...Object.values(denyCodesByStatus).flat()];
    const named = [...rules, ...queries].flatMap(({ expr }) =>
      [...expr.matchAll(/code!?=~?"([^"]+)"/g)].flatMap(([, list = '']) => list.split('|')),
    );
    expect(named.length).to.be.greaterThan(20);
    expect(named.filter((code) => !codes.includes(code))).to.deep.equal([]);
  });

  it('give every alert a severity, a sentence, and a test each of firing and of staying quiet', () => {
    for (const { alert, labels, annotations } of rules) {
      expect(labels.severity).to.be.oneOf(['critical', 'warning', 'security', 'info']);
      expect(annotations.summary, alert).to.match(/\w+ \w+/);
    }
    const tested = tests.flatMap(({ alert_rule_test: cases }) =>
      cases.map(
        ({ alertname, exp_alerts }) =>
          `${alertname} ${exp_alerts.length === 0 ? 'stays quiet' : 'fires'}`,
      ),
    );
    const wanted = rules.flatMap(({ alert }) => [`${alert} fires`, `${alert} stays quiet`]);
    expect(tested.sort()).to.deep.equal(wanted.sort());
  });

  itWithPromtool("pass Prometheus' own check of rules", () => {
    const { status, stdout, stderr } = runPromtool(['check', 'rules', 'observability/alerts.yaml']);
    expect(status, `${stdout}${stderr}`).to.equal(0);
  });

  itWithPromtool("pass their tests in Prometheus' own engine", function () {
    this.timeout(60_000);
    const { status, stdout, stderr } = runPromtool([
      'test',
      'rules',
      'observability/alerts.test.yaml',
    ]);
    expect(status, `${stdout}${stderr}`).to.equal(0);
  });

  itWithPromtool(
    'are scraped by a configuration that Prometheus can read: docs/operations.md',
    () => {
      const page = readFileSync('docs/operations.md', 'utf8');
      const [, text = ''] = /```yaml\n(# prometheus\.yml\n[\s\S]*?)```/.exec(page) ?? [];
      expect(checkFile('config', text)).to.equal('good');
    },
  );

  itWithPromtool('have only queries on the dashboard that Prometheus can read', () => {
    const recorded = queries.map(({ expr }, at) => ({ record: `q${at}`, expr: filledIn(expr) }));
    const text = stringify({ groups: [{ name: 'dashboard', rules: recorded }] });
    expect(checkFile('rules', text)).to.equal('good');
  });

  it('have panels with a number of their own, inside the grid', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
    for (const { title, gridPos } of panels) {
      expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
    }
  });
});

/** `good`, or what promtool has to say. */
function checkFile(kind: 'rules' | 'config', text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-promtool-'));
  const file = join(folder, 'file.yaml');
  writeFileSync(file, text);
  const { status, stdout, stderr } = runPromtool(['check', kind, file]);
  rmSync(folder, { recursive: true });
  return status === 0 ? 'good' : `${stdout}${stderr}`;
}
