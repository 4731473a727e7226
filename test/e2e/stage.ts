import { type Envoy, findEnvoy } from '../../envoy/find-envoy.js';
import { type RunningEnvoy, runEnvoy, withPorts } from '../../envoy/run-envoy.js';
import type { Answer } from '../../examples/quickstart/client.js';
import { type Sidecar, startSidecar } from '../../examples/quickstart/sidecar.js';
import { startUpstream, type Upstream } from '../../examples/quickstart/upstream.js';
import { createWorkplace, type Workplace } from '../../examples/quickstart/workplace.js';

/** Envoy, Countersign and an application, each a process or server of its own. */
export interface Stage {
  readonly workplace: Workplace;
  readonly upstream: Upstream;
  readonly envoy: RunningEnvoy;
  sidecar: Sidecar;
  close(): Promise<void>;
}

export type Edit = Parameters<typeof withPorts>[2];

/** The real Envoy, or a failure that says how to go on without. */
export async function realEnvoy(): Promise<Exclude<Envoy, { kind: 'none' }>> {
  const envoy = await findEnvoy(() => {});
  if (envoy.kind !== 'none') return envoy;
  throw new Error(`${envoy.why}; COUNTERSIGN_WITHOUT_ENVOY=1 leaves these tests out`);
}

export interface StageOptions {
  readonly edit?: Edit;
  readonly socket?: boolean;
  /** The file of `envoy/`; quickstart.yaml where it is not given. */
  readonly file?: string;
  /** Changes files before anything is started. */
  readonly prepare?: (workplace: Workplace) => void | Promise<void>;
}

export async function createStage(options: StageOptions = {}): Promise<Stage> {
  const workplace = await createWorkplace();
  await options.prepare?.(workplace);
  const { ports } = workplace;
  const path = workplace.path('authz.sock');
  if (options.socket === true) {
    const { readFileSync } = await import('node:fs');
    const text = readFileSync(workplace.configFile, 'utf8');
    workplace.write('countersign.yaml', text.replace(/listen: .*/, `listen: unix://${path}`));
  }
  const upstream = await startUpstream(ports.app);
  const sidecar = await startSidecar(workplace.configFile, ports.admin);
  const countersign = options.socket === true ? path : ports.countersign;
  const config = withPorts(
    options.file ?? 'quickstart.yaml',
    { ingress: ports.ingress, admin: ports.envoyAdmin, app: ports.app, countersign },
    options.edit,
  );
  const envoy = await runEnvoy(await realEnvoy(), workplace.folder, config, ports.envoyAdmin);
  const stage: Stage = {
    workplace,
    upstream,
    envoy,
    sidecar,
    close: async () => {
      await envoy.stop();
      await stage.sidecar.stop('SIGKILL');
      await upstream.stop();
      workplace.remove();
    },
  };
  return stage;
}

/** `permit RULE`, or `deny STATUS CODE RULE` by the answer and the decision log together. */
export async function told(stage: Stage, answer: Answer): Promise<string> {
  const id = /"decision":"([^"]+)"/.exec(answer.body)?.[1];
  if (id === undefined) return `no decision, ${answer.status}`;
  const { effect, code, rule = '' } = await stage.sidecar.decision(id);
  if (effect === 'permit') return answer.status === 200 ? `permit ${rule}` : `${answer.status}?`;
  return `deny ${answer.status} ${code} ${rule}`.trim();
}
