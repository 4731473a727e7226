import type { Config } from '../config/config-schema.js';
import { type Environment, parseConfig } from '../config/parse-config.js';
import type { Document } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import { withoutSilenced } from '../document/silence.js';
import type { PolicySet } from '../policy/policy-set.js';
import { isFinding, readText } from './files.js';
import { LastGood, type LoadTally } from './last-good.js';
import { lintConfig } from './lint-config.js';

interface Loaded {
  readonly config: Config;
  readonly document: Document<Config>;
  readonly text: string;
}

/** `countersign.yaml`: the last good one stays. */
export class ConfigFile {
  readonly #loaded = new LastGood<Loaded>('configuration');

  get value(): Config | undefined {
    return this.#loaded.value?.config;
  }

  /** What is wrong with the file, or doubtful, given what the policies ask for. */
  findings(policies: PolicySet | undefined): readonly Finding[] {
    const { value, findings } = this.#loaded;
    if (value === undefined || policies === undefined) return findings;
    const { document, text } = value;
    return [...findings, ...withoutSilenced(document.file, text, lintConfig(document, policies))];
  }

  tallies(): readonly LoadTally[] {
    return [this.#loaded.tally()];
  }

  refresh(file: string, environment: Environment): void {
    const read = readText(file);
    if (isFinding(read)) {
      this.#loaded.refresh(`away ${read.message}`, () => ({ ok: false, findings: [read] }));
      return;
    }
    this.#loaded.refresh(read.text, () => {
      const parsed = parseConfig(file, read.text, environment);
      return 'config' in parsed
        ? { ok: true, value: { ...parsed, text: read.text }, warnings: [] }
        : { ok: false, findings: parsed };
    });
  }
}
