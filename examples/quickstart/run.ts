import { styleText } from 'node:util';
import { findEnvoy } from '../../envoy/find-envoy.js';
import { runEnvoy, withPorts } from '../../envoy/run-envoy.js';
import { type Case, createCases, curlLine, type Step } from './cases.js';
import { type Answer, type Call, send } from './client.js';
import { connectDirectly } from './direct.js';
import { type Sidecar, startSidecar } from './sidecar.js';
import { startUpstream } from './upstream.js';
import { createWorkplace, type Workplace } from './workplace.js';

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow';
const say = (text = '') => void process.stdout.write(`${text}\n`);
const paint = (style: Style, text: string) =>
  process.stdout.isTTY ? styleText(style, text) : text;

interface Scene {
  readonly send: (call: Call) => Promise<Answer>;
  readonly stop: () => Promise<void>;
}

async function raise(workplace: Workplace): Promise<Scene> {
  const envoy = await findEnvoy(say);
  if (envoy.kind === 'none') {
    say(`No Envoy to be had: ${envoy.why}.`);
    say('The cases go straight to Countersign over gRPC, as Envoy would send them.');
    const direct = connectDirectly(workplace);
    return { send: (call) => direct.send(call), stop: async () => direct.close() };
  }
  const upstream = await startUpstream(workplace.ports.app);
  const { ingress, envoyAdmin, app, countersign } = workplace.ports;
  const config = withPorts('quickstart.yaml', { ingress, admin: envoyAdmin, app, countersign });
  const running = await runEnvoy(envoy, workplace.folder, config, envoyAdmin);
  say(
    `Envoy from ${envoy.from}: https://127.0.0.1:${ingress}, Countersign behind it on 127.0.0.1:${countersign}`,
  );
  return {
    send: (call) => send(workplace, call, 'HTTP/1.1'),
    stop: async () => {
      await running.stop();
      await upstream.stop();
    },
  };
}

/** Plays the cases and gives the number of steps that did not go as stated. */
async function play(cases: readonly Case[], workplace: Workplace, scene: Scene, sidecar: Sidecar) {
  let wrong = 0;
  for (const { letter, title, steps } of cases) {
    say(`\n${paint('bold', `${letter}. ${title}`)}`);
    for (const step of steps) {
      if (!(await playStep(step, workplace, scene, sidecar))) wrong += 1;
    }
  }
  return wrong;
}

async function playStep(
  step: Step,
  workplace: Workplace,
  scene: Scene,
  sidecar: Sidecar,
): Promise<boolean> {
  await step.before?.();
  const answer = await scene.send(step.call);
  const id = /"decision":"([^"]+)"/.exec(answer.body)?.[1] ?? '';
  const { effect, code, rule } = await sidecar.decision(id);
  const isAsStated =
    answer.status === step.want.status &&
    code === step.want.code &&
    (rule ?? '') === step.want.rule;
  const color = effect === 'permit' ? 'green' : 'red';
  const by = rule === undefined ? 'by no rule' : `by rule ${rule}`;
  say(`  $ ${curlLine(workplace, step.call)}`);
  say(`    ${paint(color, `${effect} ${answer.status} ${code}`)} ${by}: ${step.why}`);
  if (!isAsStated) {
    const { status, code: wanted, rule: by } = step.want;
    say(paint('yellow', `    NOT AS STATED: ${status} ${wanted} ${by} was expected`));
  }
  return isAsStated;
}

async function main(): Promise<number> {
  const once = process.argv.includes('--once');
  const workplace = await createWorkplace();
  const closers: (() => Promise<unknown>)[] = [];
  const end = async () => {
    for (const close of closers.reverse()) await close();
    workplace.remove();
  };
  const interrupted = new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  try {
    const cases = await createCases(workplace);
    const sidecar = await startSidecar(workplace.configFile, workplace.ports.admin);
    closers.push(() => sidecar.stop());
    const scene = await raise(workplace);
    closers.push(scene.stop);
    say(
      paint('dim', `Keys, certificates and tokens were made for this run: cd ${workplace.folder}`),
    );
    const wrong = await play(cases, workplace, scene, sidecar);
    const count = cases.reduce((sum, { steps }) => sum + steps.length, 0);
    say(`\n${count - wrong} of ${count} requests went as stated.`);
    if (!once) {
      say(
        `Send your own from ${workplace.folder} (policies and data take effect while you edit them).`,
      );
      say('Ctrl-C ends all of it.');
      await interrupted;
    }
    return wrong === 0 ? 0 : 1;
  } finally {
    await end();
  }
}

process.exitCode = await main();
