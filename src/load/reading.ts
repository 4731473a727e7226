import { createHash } from 'node:crypto';
import type { Config } from '../config/config-schema.js';
import type { Environment } from '../config/parse-config.js';
import type { Finding } from '../document/finding.js';
import type { Posture, Revocations } from '../evidence/data-files.js';
import type { JsonObject } from '../json/json-value.js';
import type { FileText } from './files.js';

/** What one thing that is read from files is now. */
export type Part<T> =
  /** Its files have the content that they had when they were read last. */
  | { readonly state: 'same' }
  | {
      readonly state: 'good';
      readonly digest: string;
      readonly value: T;
      readonly warnings: readonly Finding[];
    }
  | { readonly state: 'bad'; readonly digest: string; readonly findings: readonly Finding[] };

/** What is to be read, and what is known of it already. */
export interface ReadRequest {
  readonly configFile: string;
  readonly environment: Environment;
  /** The last good configuration, which holds while its file is broken. */
  readonly config: Config | undefined;
  /** The digest of each part as it was read last: `config`, `policies`, `data NAME`. */
  readonly known: ReadonlyMap<string, string>;
}

/** Everything that is read anew at a change, but the keys. Plain data as far as `Policies` is. */
export interface Reading<Policies> {
  /** How the watched files looked before they were read. */
  readonly signature: string;
  /** Whether all files were read in one state; else nothing of it is to be used. */
  readonly isSettled: boolean;
  readonly config: Part<Config>;
  /** The rest is absent as long as there was no good configuration. */
  readonly files: FilesReading<Policies> | undefined;
}

export interface FilesReading<Policies> {
  readonly policies: Part<Policies>;
  /** What is doubtful in the configuration, given what the policies ask for; undefined: as before. */
  readonly lint: readonly Finding[] | undefined;
  readonly posture: Part<Posture> | undefined;
  readonly revocations: Part<Revocations> | undefined;
  readonly other: Readonly<Record<string, Part<JsonObject>>>;
  /** The text of every key file, by its path. */
  readonly keys: ReadonlyMap<string, FileText | Finding>;
}

/** A digest of texts; no two lists of texts have the same. */
export function digestOf(...texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${text.length} `).update(text);
  return hash.digest('base64url');
}
