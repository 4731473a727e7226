import { basename } from 'node:path';
import type { ApprovalBoardConfig, Config, JwtIssuerConfig } from '../config/config-schema.js';
import type { Finding } from '../document/finding.js';
import { Refusal } from '../errors.js';
import { parseJwks } from '../trust/jwks.js';
import type { KeySet, KeySource } from '../trust/key-source.js';
import { type RemoteJwks, remoteJwks } from '../trust/remote-jwks.js';
import { parseSpiffeBundle, type SpiffeBundle } from '../trust/spiffe-bundle.js';
import { staticKeys } from '../trust/static-keys.js';
import { type WorkloadApi, workloadApi } from '../trust/workload-api.js';
import { parseWorkloadEndpoint } from '../trust/workload-endpoint.js';
import { beside, type FileText, finding, isFinding, unreadable } from './files.js';
import { LastGood, type LoadTally } from './last-good.js';
import { digestOf } from './reading.js';

/** How one source of keys that is not a file does. */
export interface KeySourceState {
  /** An issuer's name, or the stream of the Workload API. */
  readonly name: string;
  /** Age of the keys; of a Workload API, how long it has been away; undefined before the first ones. */
  readonly ageMs: number | undefined;
  /** Attempts that failed since the last good one. */
  readonly failures: number;
  readonly lastError: string | undefined;
}

export interface KeyClocks {
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds of a clock that does not step back. */
  readonly monotonicMs: () => number;
}

/** All keys: of files, each with its own last good content, and remote ones, kept over reloads. */
export class Keys {
  readonly #sets = new Map<string, LastGood<KeySet>>();
  readonly #bundles = new Map<string, LastGood<SpiffeBundle>>();
  readonly #remotes = new Map<string, { readonly name: string; readonly source: RemoteJwks }>();
  readonly #agents = new Map<string, WorkloadApi>();
  readonly #used = new Set<string>();
  #texts: ReadonlyMap<string, FileText | Finding> = new Map();
  readonly #clocks: KeyClocks;

  constructor(clocks: KeyClocks) {
    this.#clocks = clocks;
  }

  /** What the key files hold, for the sources that are asked for from now on. */
  take(texts: ReadonlyMap<string, FileText | Finding>): void {
    this.#texts = texts;
  }

  /** The key source of an issuer. A remote one is the same as long as its configuration is. */
  source(issuer: JwtIssuerConfig | ApprovalBoardConfig, configFile: string): KeySource {
    return issuer.jwks.file === undefined ? this.#remote(issuer) : this.#file(issuer, configFile);
  }

  #remote({ name, issuer, algorithms, jwks }: JwtIssuerConfig | ApprovalBoardConfig): KeySource {
    const key = JSON.stringify([issuer, algorithms, jwks]);
    const known = this.#remotes.get(key);
    this.#used.add(key);
    if (known !== undefined) return known.source;
    const source = remoteJwks({
      at: jwks.url === undefined ? { issuer } : { url: jwks.url },
      algorithms,
      refreshMs: jwks.refresh,
      staleMaxMs: jwks.staleMax,
      timeoutMs: 5_000,
      nowMs: this.#clocks.monotonicMs,
      random: Math.random,
    });
    this.#remotes.set(key, { name, source });
    return source;
  }

  /** Forgets the files, and closes the remote sources and agents, that nothing asked for since the last time. */
  dropUnused(): void {
    for (const files of [this.#sets, this.#bundles]) {
      for (const key of files.keys()) if (!this.#used.has(key)) files.delete(key);
    }
    for (const [key, { source }] of this.#remotes) {
      if (this.#used.has(key)) continue;
      source.close();
      this.#remotes.delete(key);
    }
    for (const [address, agent] of this.#agents) {
      if (this.#used.has(address)) continue;
      agent.close();
      this.#agents.delete(address);
    }
    this.#used.clear();
  }

  /** How each source does that is not a file. */
  states(): readonly KeySourceState[] {
    const remotes = [...this.#remotes.values()].map(({ name, source }) => ({
      name,
      ...source.state(),
    }));
    const streams = [...this.#agents.values()].flatMap((agent) => {
      const { jwt, x509 } = agent.state();
      return [
        { ...jwt, name: 'workload-api/jwt' },
        { ...x509, name: 'workload-api/x509' },
      ];
    });
    return [...remotes, ...streams];
  }

  /** The bundles that an agent streams; the same streams as long as its address is the same. */
  agent({ workloadApi: address, maxBundleAge }: Config['trust']['spiffe']) {
    const endpoint = address === undefined ? undefined : parseWorkloadEndpoint(address);
    if (address === undefined || endpoint === undefined || typeof endpoint === 'string') return;
    this.#used.add(address);
    const { monotonicMs } = this.#clocks;
    const agent =
      this.#agents.get(address) ??
      workloadApi({ endpoint, nowMs: monotonicMs, random: Math.random });
    this.#agents.set(address, agent);
    return agent.bundles(maxBundleAge);
  }

  #file(issuer: JwtIssuerConfig | ApprovalBoardConfig, configFile: string): KeySource {
    const path = beside(configFile, issuer.jwks.file ?? '');
    const key = `${path} ${issuer.algorithms.join(' ')}`;
    const loaded = this.#sets.get(key) ?? new LastGood<KeySet>(`keys ${issuer.name}`);
    this.#sets.set(key, loaded);
    this.#used.add(key);
    refresh(loaded, this.#textOf(path), (text) => {
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
    const loaded =
      this.#bundles.get(path) ?? new LastGood<SpiffeBundle>(`bundle ${basename(path)}`);
    this.#bundles.set(path, loaded);
    this.#used.add(path);
    refresh(loaded, this.#textOf(path), (text) => {
      const parsed = parseSpiffeBundle(text);
      return typeof parsed === 'string' ? parsed : { value: parsed, warnings: parsed.warnings };
    });
    return loaded.value;
  }

  #textOf(path: string): FileText | Finding {
    return this.#texts.get(path) ?? unreadable(path, undefined);
  }

  /** What is wrong with the key files as they are now. */
  findings(): readonly Finding[] {
    return this.#files().flatMap(({ findings }) => findings);
  }

  tallies(): readonly LoadTally[] {
    return this.#files().map((loaded) => loaded.tally());
  }

  #files(): readonly (LastGood<KeySet> | LastGood<SpiffeBundle>)[] {
    return [...this.#sets.values(), ...this.#bundles.values()];
  }
}

type Read<T> = string | { readonly value: T; readonly warnings: readonly string[] };

function refresh<T>(
  loaded: LastGood<T>,
  read: FileText | Finding,
  parse: (text: string) => Read<T>,
): void {
  const { file } = read;
  const digest = isFinding(read) ? digestOf('away', read.message) : digestOf(read.text);
  if (digest === loaded.digest) return;
  if (isFinding(read)) {
    loaded.take({ state: 'bad', digest, findings: [read] });
    return;
  }
  const parsed = parse(read.text);
  if (typeof parsed === 'string') {
    const findings = [finding(file, 'error', 'bad_keys', parsed)];
    loaded.take({ state: 'bad', digest, findings });
    return;
  }
  const warnings = parsed.warnings.map((text) => finding(file, 'warning', 'skipped_key', text));
  loaded.take({ state: 'good', digest, value: parsed.value, warnings });
}

/** Which keys a source has now: another number for others; 0 while there are none. */
export function generationOf(source: KeySource | undefined): number {
  const keys = source?.current();
  return keys === undefined || keys instanceof Refusal ? 0 : keys.generation;
}
