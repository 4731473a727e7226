import { readFileSync } from 'node:fs';
import { judge, type Seen, type Snapshot } from '../check.js';
import { processEnvironment } from '../config/environment.js';
import type { Decision } from '../decision/decision.js';
import type { RuleVerdict } from '../decision/judge-rule.js';
import { renderFindings } from '../document/render-findings.js';
import { Refusal } from '../errors.js';
import { postureEntry } from '../evidence/posture.js';
import type { Caller } from '../identity/caller.js';
import { Loader } from '../load/loader.js';
import { readHere } from '../load/reader.js';
import type { Candidate, Rule } from '../policy/policy-set.js';
import { memoryStore } from '../replay/memory-store.js';
import { httpStatuses } from '../response/status.js';
import { checkRequestFromJson } from '../wire/check-request-json.js';
import { encodeCheckRequest } from '../wire/external-auth.js';
import { type Arguments, type Command, Misuse, text } from './command.js';
import { configFile, sourceOf } from './config-file.js';
import { describeCaller, describeRequest } from './describe-check.js';
import { isRecord, readRecord } from './recorded-check.js';

/** `countersign explain`: why a request is permitted or denied. */
export const explain: Command = {
  name: 'explain',
  summary:
    'why a request is permitted or denied: reads it, decides it, and shows every candidate rule',
  operands: 'FILE',
  options: {
    json: { type: 'boolean' },
    now: { type: 'string' },
    decision: { type: 'string' },
    admin: { type: 'string' },
  },
  help: [
    'FILE                a CheckRequest in protobuf JSON, or a `full` decision record (- for stdin)',
    '--decision ID       in the place of FILE: a decision that a running sidecar keeps',
    '--admin URL         its admin address (http:// and `admin` of the configuration)',
    '--now TIME          decide as of then: 2026-11-23T10:00:00Z',
    '--json              the explanation as JSON',
  ],
  async run(args, io) {
    const loader = new Loader({
      configFile: configFile(args),
      environment: processEnvironment(),
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      reader: readHere(),
    });
    await loader.load();
    await loader.fetched();
    const { snapshot } = loader;
    if (snapshot === undefined) {
      io.err(renderFindings(loader.findings(), sourceOf));
      await loader.close();
      return 1;
    }
    const value = await readSubject(args, loader.config?.admin ?? '');
    const recorded = isRecord(value) ? readRecord(value) : undefined;
    const explanation =
      recorded === undefined
        ? await explainRequest(encodeSource(value), snapshot, readNow(args) ?? Date.now())
        : await explainRequest(
            recorded.bytes,
            recorded.snapshotOf(snapshot),
            readNow(args) ?? recorded.nowMs,
          );
    await loader.close();
    const was = recorded && { was: recorded.was, unknown: recorded.unknown(explanation) };
    io.out(
      args.values['json'] === true
        ? `${JSON.stringify({ recorded: was, ...explanation }, null, 2)}\n`
        : `${was === undefined ? '' : renderRecorded(was)}${renderExplanation(explanation)}`,
    );
    return 0;
  },
};

function renderRecorded({ was, unknown }: { was: string; unknown: readonly string[] }): string {
  return [`recorded  ${was}`, ...unknown.map((line) => `          ${line}`), ''].join('\n');
}

/** The JSON of what is to be explained: a file, stdin, or a decision of a running sidecar. */
async function readSubject(args: Arguments, admin: string): Promise<unknown> {
  const [file, more] = args.positionals;
  const id = text(args, 'decision');
  if (id !== undefined && file !== undefined) throw new Misuse('FILE or --decision, not both');
  if (id !== undefined) return fetchDecision(text(args, 'admin') ?? `http://${admin}`, id);
  if (file === undefined) throw new Misuse('FILE is missing');
  if (more !== undefined) throw new Misuse(`"${more}" is not expected here`);
  return readSource(file);
}

async function fetchDecision(admin: string, id: string): Promise<unknown> {
  const url = `${admin}/decisions/${encodeURIComponent(id)}`;
  const response = await fetch(url).catch(() => undefined);
  if (response === undefined)
    throw new Misuse(`no sidecar answers at ${admin}: name it with --admin`);
  if (!response.ok) throw new Misuse((await response.text()).trim());
  return response.json();
}

function encodeSource(source: unknown): Uint8Array {
  const request = checkRequestFromJson(source);
  if (!request.ok) throw new Misuse(request.reason);
  return encodeCheckRequest(request.value);
}

function readSource(file: string): unknown {
  const source = file === '-' ? readFileSync(0, 'utf8') : sourceOf(file);
  if (source === undefined) throw new Misuse(`there is no file ${file}`);
  try {
    return JSON.parse(source);
  } catch {
    throw new Misuse(`${file} is not JSON`);
  }
}

function readNow(args: Arguments): number | undefined {
  const now = text(args, 'now');
  if (now === undefined) return undefined;
  const ms = Date.parse(now);
  if (Number.isNaN(ms)) throw new Misuse('--now is a time: 2026-11-23T10:00:00Z');
  return ms;
}

/** What `explain` found, as it prints it with `--json`. Nothing secret is in it. */
export interface Explanation {
  readonly effect: Decision['effect'];
  readonly code: Decision['code'];
  readonly status: number;
  readonly rule: string | undefined;
  readonly detail: string;
  readonly revision: string;
  readonly request: object | undefined;
  readonly caller: readonly string[];
  readonly rules: readonly ExplainedRule[];
}

export interface ExplainedRule {
  readonly rule: string;
  readonly effect: 'permit' | 'deny';
  readonly mode: 'enforce' | 'shadow';
  readonly at: string;
  readonly matches: boolean;
  /** Name of the policy's principal that the caller is; '' for none. */
  readonly principal: string;
  /** The key that failed, and why. */
  readonly failed: { readonly key: string; readonly why: string } | undefined;
  /** What the condition reads, with the values it saw; or what the caller lacks of each principal. */
  readonly values: readonly { readonly name: string; readonly value: string }[];
  readonly captures: readonly object[];
}

/** Decides a Check as the sidecar would, on a replay store of its own, and keeps every step. */
export async function explainRequest(
  bytes: Uint8Array,
  snapshot: Snapshot,
  nowMs: number,
): Promise<Explanation> {
  const seen: Seen = {};
  const judged: [Candidate, RuleVerdict][] = [];
  const own = {
    ...snapshot,
    replay: memoryStore(() => 1000, { nowMs: () => nowMs, monotonicMs: () => nowMs }),
  };
  const decision = await judge(bytes, own, nowMs, seen, (candidate, verdict) =>
    judged.push([candidate, verdict]),
  );
  return {
    effect: decision.effect,
    code: decision.code,
    status: decision.effect === 'permit' ? 200 : httpStatuses[decision.code],
    rule: decision.rule?.id,
    detail: decision.effect === 'permit' ? `the rule ${decision.rule.id} matches` : decision.detail,
    revision: snapshot.policy.revision,
    request: describeRequest(seen),
    caller: describeCaller(seen),
    rules: judged.map(([candidate, verdict]) => explainRule(candidate, verdict, seen, own, nowMs)),
  };
}

function explainRule(
  { rule, captures }: Candidate,
  verdict: RuleVerdict,
  seen: Seen,
  snapshot: Snapshot,
  nowMs: number,
): ExplainedRule {
  const isCondition = !verdict.matches && verdict.stage === 'when';
  const isPrincipal = !verdict.matches && verdict.stage === 'principals';
  const { request, caller, mcp, approval } = seen;
  const values =
    isCondition && request !== undefined && caller !== undefined
      ? captures.flatMap((captured) =>
          rule.when === undefined
            ? []
            : rule.when.values({
                request,
                captures: captured,
                caller,
                principal: verdict.matched,
                mcp,
                body: undefined,
                approvalClaims:
                  approval === undefined || approval instanceof Refusal
                    ? undefined
                    : approval.claims,
                posture: postureEntry(caller, snapshot.data.posture),
                facts: snapshot.facts,
                data: snapshot.data.other,
                nowMs,
              }),
        )
      : [];
  return {
    rule: rule.id,
    effect: rule.effect,
    mode: rule.mode,
    at: `${rule.at.file}:${rule.at.line}`,
    matches: verdict.matches,
    principal: verdict.matched,
    failed: verdict.matches ? undefined : { key: verdict.stage, why: verdict.detail },
    values: isPrincipal && caller !== undefined ? mismatches(rule, caller) : values,
    captures: captures.filter((captured) => Object.keys(captured).length > 0),
  };
}

/** For each principal of the rule, what the caller lacks of it. */
function mismatches({ principals }: Rule, caller: Caller): ExplainedRule['values'] {
  return principals.flatMap((principal) => {
    const mismatch = principal.mismatch?.(caller);
    if (mismatch === undefined) return [];
    const { key, wanted, got } = mismatch;
    return [{ name: `${principal.name}: ${key}`, value: `${got}, wanted ${wanted}` }];
  });
}

function renderExplanation(explanation: Explanation): string {
  const { effect, status, code, rule, detail, caller, rules, request } = explanation;
  const by = rule === undefined ? '' : ` by rule ${rule}`;
  const lines = [`${effect} ${status} ${code}${by}: ${detail}`, ''];
  if (request !== undefined) lines.push(`request   ${JSON.stringify(request)}`);
  for (const [index, line] of caller.entries()) {
    lines.push(`${index === 0 ? 'caller    ' : '          '}${line}`);
  }
  lines.push(`policy    revision ${explanation.revision}`, '');
  if (rules.length === 0) lines.push('No rule was judged: none is for this host, method and path.');
  for (const judged of rules) lines.push(...renderRule(judged));
  return `${lines.join('\n')}\n`;
}

export function renderRule(judged: ExplainedRule): readonly string[] {
  const { rule, effect, mode, at, matches, failed, values, captures } = judged;
  const shadow = mode === 'shadow' ? ', shadow' : '';
  const verdict = matches ? 'matches' : `fails at ${failed?.key}: ${failed?.why}`;
  return [
    `${matches ? '✓' : '✗'} ${rule} (${effect}${shadow}, ${at}) ${verdict}`,
    ...captures.map((captured) => `    path ${JSON.stringify(captured)}`),
    ...values.map(({ name, value }) => `    ${name} = ${value}`),
  ];
}
