import type { CheckRecord } from '../check.js';
import { Refusal } from '../errors.js';
import type { TokenIdentity } from '../identity/caller.js';
import type { Rule } from '../policy/policy-set.js';
import type { Request } from '../request/request.js';
import { type Detail, decisionRecord, mcpRecord, tokenRecord } from './decision-record.js';

/**
 * One decision as a line of JSON, as a logger would write `decisionRecord`. A basic record is written
 * part by part: what is the same in many records (a rule, a token, a caller) is made into text once,
 * since making it each time is most of what a record costs.
 */
export function decisionLine(
  record: CheckRecord,
  detail: Detail,
  credentialHeaders: ReadonlySet<string>,
): string {
  const head = `{"time":"${isoTime(record.nowMs)}","level":"info","msg":"decision",`;
  if (detail === 'basic') return `${head}${basicRecord(record)}}\n`;
  return `${head}${JSON.stringify(decisionRecord(record, detail, credentialHeaders)).slice(1)}\n`;
}

function basicRecord({ decision, decisionId, revision, seen, durationUs }: CheckRecord): string {
  const { effect, code, rule, principal, matched, shadow } = decision;
  const { caller, request, mcp } = seen;
  const approval = seen.approval instanceof Refusal ? undefined : seen.approval;
  const isHttp = request?.kind === 'http';
  let text = `"decision":"${decisionId}","effect":"${effect}","code":"${code}"`;
  if (rule !== undefined) text += ruleText(rule);
  if (revision !== '') text += `,"revision":${quoted(revision)}`;
  if (principal !== '') text += `,"principal":${quoted(principal)}`;
  if (matched !== '') text += `,"matched":${quoted(matched)}`;
  if (caller?.peer !== undefined) text += `,"peer":${quoted(caller.peer.spiffeId.text)}`;
  if (caller?.token !== undefined) text += tokenText(caller.token);
  if (isHttp) text += requestText(request);
  if (request?.client !== undefined) text += `,"source":"${request.client.ip}"`;
  if (mcp?.kind === 'message') text += part('mcp', mcpRecord(mcp));
  if (isHttp && request.grpc !== undefined) text += part('grpc', request.grpc);
  if (approval !== undefined) {
    text += part('approval', { jti: approval.jti, approver: approval.approver });
  }
  if (rule !== undefined && rule.controls.length > 0) text += part('controls', rule.controls);
  if (shadow.length > 0) text += part('shadow', shadow);
  return `${text},"durationUs":${durationUs}`;
}

function part(name: string, value: object): string {
  return `,"${name}":${JSON.stringify(value)}`;
}

function requestText({ id, method, host, path, protocol }: Request & { kind: 'http' }): string {
  const { stringify } = JSON;
  return (
    `,"request":{"id":${stringify(id)},"method":${quoted(method)},"host":${quoted(host.name)},` +
    `"path":${stringify(path.raw)},"protocol":${quoted(protocol)}}`
  );
}

const ruleTexts = new WeakMap<Rule, string>();

function ruleText(rule: Rule): string {
  const known = ruleTexts.get(rule);
  if (known !== undefined) return known;
  const text = `,"rule":${JSON.stringify(rule.id)},"policy":${JSON.stringify(rule.policy)}`;
  ruleTexts.set(rule, text);
  return text;
}

/** A token that was verified before is the same object again. */
const tokenTexts = new WeakMap<TokenIdentity, string>();

function tokenText(token: TokenIdentity): string {
  const known = tokenTexts.get(token);
  if (known !== undefined) return known;
  const text = part('token', tokenRecord(token));
  tokenTexts.set(token, text);
  return text;
}

const maxQuoted = 4096;
const quotedTexts = new Map<string, string>();

/** A text as JSON, of a kind that comes again: ids of callers, hosts, methods. */
function quoted(text: string): string {
  const known = quotedTexts.get(text);
  if (known !== undefined) return known;
  const json = JSON.stringify(text);
  if (quotedTexts.size >= maxQuoted) quotedTexts.clear();
  quotedTexts.set(text, json);
  return json;
}

let lastMs = 0;
let lastTime = new Date(lastMs).toISOString();

function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastTime = new Date(ms).toISOString();
  }
  return lastTime;
}
