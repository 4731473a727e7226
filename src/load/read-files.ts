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
import { fingerprint } from './fingerprint.js';
import { lintConfig } from './lint-config.js';
import { keyPaths, namedPaths } from './named-paths.js';
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
  const own = await signature([configFile]);
  const read = readText(configFile);
  if (isFinding(read)) {
    const config = unless<Config>(known.get('config'), digestOf(read.message), () => [read]);
    return readNamed(config, request, own, undefined);
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
  return readNamed(config, request, own, { lint, isNew, text: read.text });
}

interface ConfigLint {
  readonly text: string;
  readonly lint: (compiled: CompiledPolicies) => readonly Finding[];
  /** Whether it has to be linted although no policy changed. */
  readonly isNew: boolean;
}

/** The files that the configuration in force names: the last good one's, where it is broken. */
async function readNamed(
  part: Part<Config>,
  request: ReadRequest,
  own: string,
  configLint: ConfigLint | undefined,
): Promise<Reading<CompiledPolicies>> {
  const { configFile } = request;
  const config = part.state === 'good' ? part.value : request.config;
  if (config === undefined) {
    return { signature: own, isSettled: true, config: part, files: undefined };
  }
  const named = await signature(namedPaths(config, configFile));
  const texts = readSettled(config, configFile, configLint?.text);
  return {
    signature: `${own}\n${named}`,
    isSettled: texts !== undefined,
    config: part,
    files: texts && readConfigured(config, texts, request, configLint),
  };
}

function readConfigured(
  config: Config,
  texts: Texts,
  { known }: ReadRequest,
  configLint: ConfigLint | undefined,
): FilesReading<CompiledPolicies> {
  const { posture, revocations, ...other } = texts.data;
  const others = Object.entries(other).map(([name, read]) => ({ name, read }));
  const dataNow = (): JsonObject => valuesOf(others);
  const { files, faults } = texts.policies;
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
      : compile(texts.policies, { ...scope, data: dataNow() });
  const policies = unless<CompiledPolicies>(known.get('policies'), digest, () =>
    compiled?.ok === true
      ? { value: compiled, warnings: compiled.warnings }
      : (compiled?.findings ?? []),
  );
  return {
    policies,
    lint: compiled?.ok === true ? configLint?.lint(compiled) : compiled && [],
    posture: posture === undefined ? undefined : data('posture', posture, parsePosture),
    revocations:
      revocations === undefined ? undefined : data('revocations', revocations, parseRevocations),
    other: Object.fromEntries(others.map(({ name, read }) => [name, data(name, read, parseData)])),
    keys: texts.keys,
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

/** How often files that change while they are read are read again at once. */
const attempts = 20;

interface Texts {
  readonly policies: PolicyTexts;
  readonly data: Readonly<Record<string, FileText | Finding>>;
  readonly keys: ReadonlyMap<string, FileText | Finding>;
}

/**
 * The texts of all files in one state: what changes while they are read is read again. Undefined when
 * they change all the time.
 * @param configText what was read of the configuration itself, where it could be
 */
function readSettled(
  config: Config,
  configFile: string,
  configText: string | undefined,
): Texts | undefined {
  const paths = [configFile, ...namedPaths(config, configFile)];
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const before = fingerprint(paths);
    const own = readText(configFile);
    const isOther = configText !== (isFinding(own) ? undefined : own.text);
    if (isOther) return undefined;
    const texts = readTexts(config, configFile);
    if (fingerprint(paths) === before) return texts;
  }
  return undefined;
}

function readTexts(config: Config, configFile: string): Texts {
  const data = Object.entries(config.data).map(
    ([name, path]) => [name, readText(beside(configFile, path))] as const,
  );
  const keys = keyPaths(config, configFile).map((path) => [path, readText(path)] as const);
  return {
    policies: readPolicyTexts(config, configFile),
    data: Object.fromEntries(data),
    keys: new Map(keys),
  };
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
