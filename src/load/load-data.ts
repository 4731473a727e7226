import type { Config } from '../config/config-schema.js';
import type { Finding } from '../document/finding.js';
import {
  type DataSet,
  noRevocations,
  type Posture,
  parseData,
  parsePosture,
  parseRevocations,
  type Revocations,
} from '../evidence/data-files.js';
import type { JsonObject } from '../json/json-value.js';
import { beside, isFinding, readText } from './files.js';
import { LastGood, type LoadTally } from './last-good.js';

/** The data files, each with its own last good content, as one immutable set. */
export class DataFiles {
  #posture = new LastGood<Posture>('data posture');
  #revocations = new LastGood<Revocations>('data revocations');
  readonly #other = new Map<string, LastGood<JsonObject>>();
  #set: DataSet | undefined;

  /** The set in force; undefined while a file that is named was never good. */
  refresh(config: Config, configFile: string): DataSet | undefined {
    const { posture, revocations, ...other } = config.data;
    let isChanged = this.#set === undefined;
    const load = <T>(
      loaded: LastGood<T>,
      path: string | undefined,
      parse: (file: string, text: string) => T | readonly Finding[],
    ): LastGood<T> => {
      if (path === undefined) {
        if (loaded.value === undefined && loaded.findings.length === 0) return loaded;
        isChanged = true;
        return new LastGood<T>(loaded.name);
      }
      if (refresh(loaded, beside(configFile, path), parse)) isChanged = true;
      return loaded;
    };
    this.#posture = load(this.#posture, posture, parsePosture);
    this.#revocations = load(this.#revocations, revocations, parseRevocations);
    for (const name of this.#other.keys()) {
      if (other[name] === undefined) isChanged = this.#other.delete(name) || isChanged;
    }
    for (const [name, path] of Object.entries(other)) {
      const loaded = this.#other.get(name) ?? new LastGood<JsonObject>(`data ${name}`);
      this.#other.set(name, load(loaded, path, parseData));
    }
    if (isChanged) this.#set = this.#assemble(posture !== undefined, revocations !== undefined);
    return this.#set;
  }

  findings(): readonly Finding[] {
    return this.#all().flatMap(({ findings }) => findings);
  }

  tallies(): readonly LoadTally[] {
    return this.#all().map((loaded) => loaded.tally());
  }

  #all(): readonly LastGood<unknown>[] {
    return [this.#posture, this.#revocations, ...this.#other.values()];
  }

  #assemble(hasPosture: boolean, hasRevocations: boolean): DataSet | undefined {
    const posture = this.#posture.value;
    const revocations = this.#revocations.value;
    const other: { [name: string]: JsonObject } = {};
    for (const [name, { value }] of this.#other) {
      if (value === undefined) return undefined;
      other[name] = value;
    }
    if (hasPosture && posture === undefined) return undefined;
    if (hasRevocations && revocations === undefined) return undefined;
    return { posture, revocations: revocations ?? noRevocations, other };
  }
}

function refresh<T>(
  loaded: LastGood<T>,
  path: string,
  parse: (file: string, text: string) => T | readonly Finding[],
): boolean {
  const read = readText(path);
  if (isFinding(read)) {
    return loaded.refresh(`away ${read.message}`, () => ({ ok: false, findings: [read] }));
  }
  return loaded.refresh(read.text, () => {
    const parsed = parse(path, read.text);
    return isFindings(parsed)
      ? { ok: false, findings: parsed }
      : { ok: true, value: parsed, warnings: [] };
  });
}

function isFindings<T>(parsed: T | readonly Finding[]): parsed is readonly Finding[] {
  return Array.isArray(parsed);
}
