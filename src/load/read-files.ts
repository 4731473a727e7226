import type { Config } from '../config/config-schema.js';
import { parseConfig } from '../config/parse-config.js';
import { listPolicyFiles } from '../config/policy-files.js';
import { signature } from '../config/watch.js';
import type { Finding } from '../document/finding.js';
import { withoutSilenced } from '../document/silence.js';
import { parseData, parsePosture, parseRevocations } from '../evidence/parse-data-files.js';
import type { JsonObject } from '../json/json-value.js';
import { type Compiled, compilePolicies, type PolicyScope } from '../policy/compile.js';
import { beside, type FileText, isFinding, isText, readText, unreadable } from './files.js';
import { lintConfig } from './lint-config.js';
import { namedPaths } from './named-paths.js';
import {
  digestOf,
  type FilesReading,
  type Part,
  type Reading,
  type ReadRequest,
} from './reading.js';

export type CompiledPolicies = Extract<Compiled, { ok: true }>;

/**
 * Reads the configuration and every policy and data file that it names, and checks, compiles and
 * lints what changed since it was `known`. Takes seconds for ten thousand rules.
 */
export async function readFiles(request: ReadRequest): Promise<Reading<CompiledPolicies>> {
  const { configFile, environment, known } = request;
  const ownSignature = await signature([configFile]);
  const read = readText(configFile);
  if (isFinding(read)) {
    const config = unless<Config>(known.get('config'), digestOf(read.message), () => [read]);
    return readNamed(config, request, ownSignature, undefined);
  }
  const parse = () => parseConfig(configFile, read.text, environment);
  let parsed: ReturnType<typeof parse> | undefined;
  const parsedOnce = () => {
    parsed ??= parse();
    return parsed;
  };
  const config = unless<Config>(known.get('config'), digestOf(read.text), () => {
    const result = parsedOnce();
    return 'config' in result ? { value: result.config, warnings: [] } : result;
  });
  const lint = (compiled: CompiledPolicies): readonly Finding[] => {
    const result = parsedOnce();
    if (!('config' in result)) return [];
    const findings = lintConfig(result.document, compiled.set);
    return withoutSilenced(configFile, read.text, findings);
  };
  const isNew = config.state === 'good';
  return readNamed(config, request, ownSignature, { lint, isNew });
}

interface ConfigLint {
  readonly lint: (compiled: CompiledPolicies) => readonly Finding[];
  /** Whether it has to be linted although no policy changed. */
  readonly isNew: boolean;
}

/** The files that the configuration in force names: the last good one's, where it is broken. */
async function readNamed(
  part: Part<Config>,
  request: ReadRequest,
  ownSignature: string,
  configLint: ConfigLint | undefined,
): Promise<Reading<CompiledPolicies>> {
  const config = part.state === 'good' ? part.value : request.config;
  if (config === undefined) return { signature: ownSignature, config: part, files: undefined };
  const named = await signature(namedPaths(config, request.configFile));
  const files = readConfigured(config, request, configLint);
  return { signature: `${ownSignature}\n${named}`, config: part, files };
}

function readConfigured(
  config: Config,
  { configFile, known }: ReadRequest,
  configLint: ConfigLint | undefined,
): FilesReading<CompiledPolicies> {
  const { posture, revocations, ...other } = config.data;
  const at = (path: string) => readText(beside(configFile, path));
  const others = Object.entries(other).map(([name, path]) => ({ name, read: at(path) }));
  const dataNow = (): JsonObject => valuesOf(others);
  const texts = readPolicyTexts(config, configFile);
  const { files, faults } = texts;
  const scope = scopeOf(config);
  const digest = digestOf(
    JSON.stringify(scope),
    ...faults.map(({ file, message }) => `${file} ${message}`),
    ...files.flatMap(({ file, text }) => [file, text]),
  );
  const isSame = digest === known.get('policies');
  const compiled: Compiled | undefined =
    isSame && configLint?.isNew !== true
      ? undefined
      : compile(texts, { ...scope, data: dataNow() });
  const policies = unless<CompiledPolicies>(known.get('policies'), digest, () =>
    compiled?.ok === true
      ? { value: compiled, warnings: compiled.warnings }
      : (compiled?.findings ?? []),
  );
  return {
    policies,
    lint: compiled?.ok === true ? configLint?.lint(compiled) : compiled && [],
    posture: posture === undefined ? undefined : data('posture', at(posture), parsePosture),
    revocations:
      revocations === undefined
        ? undefined
        : data('revocations', at(revocations), parseRevocations),
    other: Object.fromEntries(others.map(({ name, read }) => [name, data(name, read, parseData)])),
  };

  function data<T extends object>(
    name: string,
    read: FileText | Finding,
    parse: (file: string, text: string) => T | readonly Finding[],
  ): Part<T> {
    const before = known.get(`data ${name}`);
    if (isFinding(read)) return unless<T>(before, digestOf(read.file, read.message), () => [read]);
    return unless<T>(before, digestOf(read.file, read.text), () => {
      const parsed = parse(read.file, read.text);
      return isFindings(parsed) ? parsed : { value: parsed, warnings: [] };
    });
  }
}

/** The policies that a configuration names, compiled; what they expect of data files is not looked at. */
export function readPolicies(config: Config, configFile: string): Compiled {
  return compile(readPolicyTexts(config, configFile), scopeOf(config));
}

function compile({ files, faults }: PolicyTexts, scope: PolicyScope): Compiled {
  return faults.length > 0 ? { ok: false, findings: faults } : compilePolicies(files, scope);
}

function scopeOf({ trust, facts, data }: Config): PolicyScope {
  const issuers = trust.jwt.map(({ name }) => name);
  const approvals = trust.approvals.map(({ name }) => name);
  return { issuers, approvals, facts, dataFiles: Object.keys(data) };
}

/** Nothing is read anew whose digest is the one `before`. */
function unless<T>(
  before: string | undefined,
  digest: string,
  read: () => { value: T; warnings: readonly Finding[] } | readonly Finding[],
): Part<T> {
  if (digest === before) return { state: 'same' };
  const result = read();
  return isFindings(result)
    ? { state: 'bad', digest, findings: result }
    : { state: 'good', digest, ...result };
}

function isFindings(value: object): value is readonly Finding[] {
  return Array.isArray(value);
}

interface PolicyTexts {
  readonly files: readonly FileText[];
  /** Files and folders that cannot be read at all. */
  readonly faults: readonly Finding[];
}

function readPolicyTexts(config: Config, configFile: string): PolicyTexts {
  const listed = config.policies.flatMap((path) => list(beside(configFile, path)));
  const texts = listed.map((file) => (typeof file === 'string' ? readText(file) : file));
  return { files: texts.filter(isText), faults: texts.filter(isFinding) };
}

function list(entry: string): readonly (string | Finding)[] {
  try {
    return listPolicyFiles([entry]);
  } catch (error) {
    return [unreadable(entry, error)];
  }
}

/** What the data files hold, as far as they can be read: to warn of conditions that expect else. */
function valuesOf(
  files: readonly { readonly name: string; readonly read: FileText | Finding }[],
): JsonObject {
  const found: { [name: string]: JsonObject } = {};
  for (const { name, read } of files) {
    if (isFinding(read)) continue;
    const parsed = parseData(read.file, read.text);
    if (!isFindings(parsed)) found[name] = parsed;
  }
  return found;
}
