import type { ApprovalBoardConfig, Config, JwtIssuerConfig } from '../config/config-schema.js';
import type { Finding } from '../document/finding.js';
import { Refusal } from '../errors.js';
import { parseJwks } from '../trust/jwks.js';
import type { KeySet, KeySource } from '../trust/key-source.js';
import { parseSpiffeBundle, type SpiffeBundle } from '../trust/spiffe-bundle.js';
import { staticKeys } from '../trust/static-keys.js';
import { beside, finding, isFinding, readText } from './files.js';
import { LastGood } from './last-good.js';

/** All keys that files hold, each file with its own last good content. */
export class KeyFiles {
  readonly #sets = new Map<string, LastGood<KeySet>>();
  readonly #bundles = new Map<string, LastGood<SpiffeBundle>>();

  /** The key source of an issuer whose keys are in a file. */
  source(issuer: JwtIssuerConfig | ApprovalBoardConfig, configFile: string): KeySource {
    const path = beside(configFile, issuer.jwks.file ?? '');
    const key = `${path} ${issuer.algorithms.join(' ')}`;
    const loaded = this.#sets.get(key) ?? new LastGood<KeySet>(`keys ${issuer.name}`);
    this.#sets.set(key, loaded);
    refresh(loaded, path, (text) => {
      const parsed = parseJwks(text, issuer.algorithms);
      return typeof parsed === 'string'
        ? parsed
        : { value: parsed.keySet, warnings: parsed.warnings };
    });
    const { value } = loaded;
    if (value !== undefined) return staticKeys(value);
    const away = new Refusal('keys_unavailable', `no keys of ${issuer.name} were ever loaded`);
    return { current: () => away, missing: () => {}, close: () => {} };
  }

  bundle(path: string): SpiffeBundle | undefined {
    const loaded = this.#bundles.get(path) ?? new LastGood<SpiffeBundle>('bundle');
    this.#bundles.set(path, loaded);
    refresh(loaded, path, (text) => {
      const parsed = parseSpiffeBundle(text);
      return typeof parsed === 'string' ? parsed : { value: parsed, warnings: parsed.warnings };
    });
    return loaded.value;
  }

  /** What is wrong with the key files as they are now. */
  findings(): readonly Finding[] {
    return [...this.#sets.values(), ...this.#bundles.values()].flatMap(({ findings }) => findings);
  }
}

type Read<T> = string | { readonly value: T; readonly warnings: readonly string[] };

function refresh<T>(loaded: LastGood<T>, path: string, parse: (text: string) => Read<T>): void {
  const read = readText(path);
  if (isFinding(read)) {
    loaded.refresh(`away ${read.message}`, () => ({ ok: false, findings: [read] }));
    return;
  }
  loaded.refresh(read.text, () => {
    const parsed = parse(read.text);
    if (typeof parsed === 'string') {
      return { ok: false, findings: [finding(path, 'error', 'bad_keys', parsed)] };
    }
    const warnings = parsed.warnings.map((text) => finding(path, 'warning', 'skipped_key', text));
    return { ok: true, value: parsed.value, warnings };
  });
}

/** Every key file that the configuration names. */
export function keyFiles(config: Config, configFile: string): readonly string[] {
  const { jwt, approvals, spiffe } = config.trust;
  const named = [
    ...[...jwt, ...approvals].flatMap(({ jwks }) => jwks.file ?? []),
    ...Object.values(spiffe.peer.bundles),
    ...Object.values(spiffe.jwtSvid?.bundles ?? {}),
  ];
  return named.map((path) => beside(configFile, path));
}
