import type { Finding } from '../document/finding.js';
import {
  type DataSet,
  noRevocations,
  type Posture,
  type Revocations,
} from '../evidence/data-files.js';
import type { JsonObject } from '../json/json-value.js';
import { LastGood, type LoadTally } from './last-good.js';
import type { FilesReading, Part } from './reading.js';

type DataReading = Pick<FilesReading<unknown>, 'posture' | 'revocations' | 'other'>;

/** The data files, each with its own last good content, as one immutable set. */
export class DataFiles {
  #posture: LastGood<Posture> | undefined;
  #revocations: LastGood<Revocations> | undefined;
  #other = new Map<string, LastGood<JsonObject>>();
  #set: DataSet | undefined;

  /** The set in force; undefined while a file that is named was never good. */
  get value(): DataSet | undefined {
    return this.#set;
  }

  /** @param reading a part for each file that is named; what is not named any more is gone */
  take({ posture, revocations, other }: DataReading): void {
    this.#posture = takePart(this.#posture, 'data posture', posture);
    this.#revocations = takePart(this.#revocations, 'data revocations', revocations);
    this.#other = new Map(
      Object.entries(other).map(([name, part]) => {
        const known = this.#other.get(name) ?? new LastGood<JsonObject>(`data ${name}`);
        known.take(part);
        return [name, known];
      }),
    );
    this.#set = assemble(this.#posture, this.#revocations, this.#other);
  }

  all(): readonly LastGood<unknown>[] {
    const named = [this.#posture, this.#revocations].filter((one) => one !== undefined);
    return [...named, ...this.#other.values()];
  }

  findings(): readonly Finding[] {
    return this.all().flatMap(({ findings }) => findings);
  }

  tallies(): readonly LoadTally[] {
    return this.all().map((loaded) => loaded.tally());
  }
}

function takePart<T>(known: LastGood<T> | undefined, name: string, part: Part<T> | undefined) {
  if (part === undefined) return undefined;
  const loaded = known ?? new LastGood<T>(name);
  loaded.take(part);
  return loaded;
}

function assemble(
  posture: LastGood<Posture> | undefined,
  revocations: LastGood<Revocations> | undefined,
  files: ReadonlyMap<string, LastGood<JsonObject>>,
): DataSet | undefined {
  const other: { [name: string]: JsonObject } = {};
  for (const [name, { value }] of files) {
    if (value === undefined) return undefined;
    other[name] = value;
  }
  if (posture !== undefined && posture.value === undefined) return undefined;
  if (revocations !== undefined && revocations.value === undefined) return undefined;
  return { posture: posture?.value, revocations: revocations?.value ?? noRevocations, other };
}
