import type { Config } from '../config/config-schema.js';
import { listPolicyFiles } from '../config/policy-files.js';
import type { Finding } from '../document/finding.js';
import type { JsonObject } from '../json/json-value.js';
import { compilePolicies } from '../policy/compile.js';
import type { PolicySet } from '../policy/policy-set.js';
import { beside, isFinding, isText, readText, unreadable } from './files.js';
import { LastGood, type LoadTally } from './last-good.js';

/** The policy files as one set: all of them are good, or the last good set stays. */
export class PolicyFiles {
  readonly #set = new LastGood<PolicySet>('policies');

  get value(): PolicySet | undefined {
    return this.#set.value;
  }

  findings(): readonly Finding[] {
    return this.#set.findings;
  }

  tallies(): readonly LoadTally[] {
    return [this.#set.tally()];
  }

  /** @param data what the data files hold; a change of it alone compiles nothing anew */
  refresh(config: Config, configFile: string, data: JsonObject | undefined): void {
    const listed = config.policies.map((path) => list(beside(configFile, path)));
    const texts = listed.flat().map((file) => (typeof file === 'string' ? readText(file) : file));
    const unreadable = texts.filter(isFinding);
    if (unreadable.length > 0) {
      const away = JSON.stringify(unreadable);
      this.#set.refresh(`away ${away}`, () => ({ ok: false, findings: unreadable }));
      return;
    }
    const files = texts.filter(isText);
    const scope = {
      issuers: config.trust.jwt.map(({ name }) => name),
      approvals: config.trust.approvals.map(({ name }) => name),
      facts: config.facts,
      dataFiles: Object.keys(config.data),
    };
    this.#set.refresh(JSON.stringify([files, scope]), () => {
      const compiled = compilePolicies(files, { ...scope, data });
      return compiled.ok
        ? { ok: true, value: compiled.set, warnings: compiled.warnings }
        : compiled;
    });
  }
}

function list(entry: string): readonly (string | Finding)[] {
  try {
    return listPolicyFiles([entry]);
  } catch (error) {
    return [unreadable(entry, error)];
  }
}
