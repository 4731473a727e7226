import type { JsonObject } from '../json/json-value.js';

export interface Posture {
  readonly updatedAtMs: number;
  readonly identities: ReadonlyMap<string, PostureEntry>;
}

export interface PostureEntry {
  readonly status: string;
  readonly secretStatus: string | undefined;
  /** Seconds since the epoch: older tokens and certificates are refused. */
  readonly notBefore: number | undefined;
  /** The entry as the file has it, for conditions. */
  readonly entry: JsonObject;
}

export interface Revocations {
  readonly tokens: ReadonlySet<string>;
  /** Id → seconds since the epoch; Infinity: whenever it was issued. */
  readonly identities: ReadonlyMap<string, number>;
  readonly certificates: ReadonlySet<string>;
  readonly keys: ReadonlySet<string>;
}

/** All data files at one time; immutable, replaced whole. */
export interface DataSet {
  readonly posture: Posture | undefined;
  readonly revocations: Revocations;
  /** Every other file by its name: `data.partners`. */
  readonly other: JsonObject;
}

export const noRevocations: Revocations = {
  tokens: new Set(),
  identities: new Map(),
  certificates: new Set(),
  keys: new Set(),
};

/** The key under which a pair of texts is looked up; no pair reads like another. */
export function pairKey(a: string, b: string): string {
  return `${a.length}:${a} ${b}`;
}
