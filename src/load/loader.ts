import { randomBytes } from 'node:crypto';
import type { Snapshot } from '../check.js';
import type { Config } from '../config/config-schema.js';
import type { Environment } from '../config/parse-config.js';
import type { Finding } from '../document/finding.js';
import { createApprovalVerifier } from '../evidence/approval.js';
import { createIdentifier, type Identifier } from '../identity/identify.js';
import type { PolicySet } from '../policy/policy-set.js';
import type { ReplayStore } from '../replay/replay-store.js';
import { staticBundles } from '../trust/spiffe-bundle.js';
import { beside, finding } from './files.js';
import { defaultTypes, rulesOf } from './jwt-rules.js';
import { LastGood } from './last-good.js';
import { loadBoards } from './load-boards.js';
import { DataFiles } from './load-data.js';
import { generationOf, type KeySourceState, Keys } from './load-keys.js';
import { type LoadState, nextLoadStates } from './load-states.js';
import { namedPaths } from './named-paths.js';
import { OneAtATime } from './one-at-a-time.js';
import type { Reader } from './reader.js';
import type { Reading, ReadRequest } from './reading.js';
import { ReplayStores } from './replay-stores.js';

export interface LoaderOptions {
  readonly configFile: string;
  readonly environment: Environment;
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds of a clock that does not step back. */
  readonly monotonicMs: () => number;
  /** What processes that answer for each other share; absent: this process has its own. */
  readonly shared?: SharedState;
  /** What reads and compiles the files. */
  readonly reader: Reader;
}

export interface SharedState {
  /** Makes DPoP nonces: one that another process gave is good here. */
  readonly nonceSecret: Buffer;
  /** The store behind `replay: { store: memory }`; `withinMs` is how long a Check waits for it. */
  readonly replayStore: (maxEntries: () => number, withinMs: () => number) => ReplayStore;
}

/**
 * Turns the configuration and the files it names into one snapshot, again and again. Each file's
 * last good content stays in force while it is broken; a snapshot exists only when every part of it
 * was good once, and is replaced whole, at once, when everything was read.
 */
export class Loader {
  readonly #options: LoaderOptions;
  readonly #config = new LastGood<Config>('configuration');
  readonly #policies = new LastGood<PolicySet>('policies');
  readonly #keys: Keys;
  readonly #data = new DataFiles();
  readonly #nonceSecret: Buffer;
  #identity: { readonly key: string; readonly identifier: Identifier } | undefined;
  readonly #replay: ReplayStores;
  #configLint: readonly Finding[] = [];
  #sharedKeys: readonly Finding[] = [];
  /** Why nothing was read the last time. */
  #unread: readonly Finding[] = [];
  readonly #loads = new OneAtATime(() => this.#loadOnce());
  #isClosing = false;
  #signature: string | undefined;
  #states: readonly LoadState[] = [];
  #snapshot: Snapshot | undefined;

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#keys = new Keys(options);
    const { shared } = options;
    this.#nonceSecret = shared?.nonceSecret ?? randomBytes(32);
    this.#replay = new ReplayStores({
      clocks: options,
      maxEntries: () => this.config?.replay.maxEntries ?? 0,
      withinMs: () => (this.config?.deadline ?? 0) / 2,
      shared: shared?.replayStore,
    });
  }

  /** The last good configuration. */
  get config(): Config | undefined {
    return this.#config.value;
  }

  /** Undefined before the first good load of everything. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Everything that is wrong, or doubtful, with the files as they are now. */
  findings(): readonly Finding[] {
    return [
      ...this.#unread,
      ...this.#config.findings,
      ...this.#configLint,
      ...this.#policies.findings,
      ...this.#data.findings(),
      ...this.#keys.findings(),
      ...this.#sharedKeys,
    ];
  }

  /** How each thing that is loaded from files does. */
  fileStates(): readonly LoadState[] {
    return this.#states;
  }

  /** How the files to watch looked before they were read. */
  get signature(): string | undefined {
    return this.#signature;
  }

  /** How each source of keys does that is not a file. */
  keySources(): readonly KeySourceState[] {
    return this.#keys.states();
  }

  /** Waits for keys that are not files, a second at most: for commands that decide once. */
  async fetched(): Promise<void> {
    const isThere = () => this.#keys.states().every(({ ageMs }) => ageMs !== undefined);
    for (let waits = 0; waits < 20 && !isThere(); waits += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /**
   * Ends what goes on in the background; a load that is under way comes to nothing. The snapshot is
   * not to be used any more; another load makes a new one.
   */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#options.reader.close();
    await this.#loads.ended();
    this.#isClosing = false;
    this.#keys.dropUnused();
    await this.#replay.close();
    this.#identity = undefined;
  }

  /** Gets ready for a load that is going to be asked for. */
  expect(): void {
    this.#options.reader.expect();
  }

  /** The files and folders to watch. */
  paths(): readonly string[] {
    const { configFile } = this.#options;
    const { config } = this;
    return config === undefined ? [configFile] : [configFile, ...namedPaths(config, configFile)];
  }

  /**
   * Reads everything anew, and resolves when that is in force, or what is wrong with it is known. One
   * load at a time: what changes during one is seen by the next, which begins behind it. What changes
   * while it is read is read again, so that no snapshot mixes two states of the files.
   * @returns false when the files changed all the time: nothing new is in force, try again later
   */
  load(): Promise<boolean> {
    return this.#loads.run();
  }

  async #loadOnce(): Promise<boolean> {
    const reading = this.#isClosing ? undefined : await this.#read();
    if (reading === undefined || this.#isClosing) return true;
    if (!reading.isSettled) return false;
    this.#snapshot = this.#take(reading) ?? this.#snapshot;
    const parts = [this.#config, this.#policies, ...this.#data.all()];
    const tallies = [...parts.map((part) => part.tally()), ...this.#keys.tallies()];
    this.#states = nextLoadStates(this.#states, tallies, this.#options.nowMs());
    return true;
  }

  async #read(): Promise<Reading<PolicySet> | undefined> {
    const { configFile, environment, reader } = this.#options;
    const request = { configFile, environment, config: this.config, known: this.#known() };
    try {
      const reading = await reader.read(request);
      this.#unread = [];
      this.#signature = reading.signature;
      return reading;
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown';
      this.#unread = [finding(configFile, 'error', 'not_loaded', `nothing could be read: ${why}`)];
      return undefined;
    }
  }

  #known(): ReadRequest['known'] {
    const parts = [this.#policies, ...this.#data.all()].map(
      ({ name, digest }) => [name, digest] as const,
    );
    const all = [['config', this.#config.digest] as const, ...parts];
    return new Map(all.flatMap(([name, digest]) => (digest === undefined ? [] : [[name, digest]])));
  }

  /** From one reading to one snapshot, without a pause between; undefined while a part was never good. */
  #take({ config: part, files }: Reading<PolicySet>): Snapshot | undefined {
    this.#config.take(part);
    const { config } = this;
    if (config === undefined || files === undefined) return undefined;
    this.#policies.take(files.policies);
    this.#data.take(files);
    this.#keys.take(files.keys);
    this.#configLint = files.lint ?? this.#configLint;
    const data = this.#data.value;
    const identifier = this.#identifierOf(config);
    const { jwtSvid } = config.trust.spiffe;
    const agent = this.#keys.agent(config.trust.spiffe);
    const svid = staticBundles(this.#bundlesOf(jwtSvid?.bundles ?? {}), agent);
    const { boards, findings } = loadBoards(config, this.#keys, svid, this.#options.configFile);
    this.#sharedKeys = findings;
    const approvals = createApprovalVerifier(boards, config.limits.token);
    this.#keys.dropUnused();
    const policy = this.#policies.value;
    if (policy === undefined || data === undefined) return undefined;
    return Object.freeze({
      budgetMs: config.deadline,
      maxInFlight: config.limits.inFlight,
      request: {
        maxBodyBytes: config.limits.body,
        trustedHops: config.trust.clientAddress.trustedHops,
      },
      identifier,
      approvals,
      policy,
      facts: config.facts,
      data,
      replay: this.#replay.of(config),
      response: { ...config.respond, approvalHeaders: approvalHeaders(config) },
    });
  }

  /** Kept, with its cache of verified tokens, while neither its configuration nor a key changed. */
  #identifierOf(config: Config): Identifier {
    const { configFile } = this.#options;
    const { trust, limits } = config;
    const { spiffe } = trust;
    const issuers = trust.jwt.map((issuer) => ({
      name: issuer.name,
      rules: rulesOf(issuer, defaultTypes),
      keys: this.#keys.source(issuer, configFile),
      header: issuer.header,
      singleUse: issuer.singleUse,
    }));
    const svid = this.#bundlesOf(spiffe.jwtSvid?.bundles ?? {});
    const peer = this.#bundlesOf(spiffe.peer.bundles);
    const agent = this.#keys.agent(spiffe);
    const generations = trust.jwt.map(({ jwks }, at) =>
      jwks.file === undefined ? 0 : generationOf(issuers[at]?.keys),
    );
    const bundled = [...svid.values(), ...peer.values()].map((one) => one?.jwtKeys.generation);
    const key = JSON.stringify([
      trust,
      limits,
      config.replay,
      config.deadline,
      generations,
      bundled,
    ]);
    if (this.#identity?.key === key) return this.#identity.identifier;
    const trustDomains = new Set(spiffe.trustDomains);
    const replay = this.#replay.of(config);
    const identifier = createIdentifier({
      peer: {
        trustDomains,
        certificate: spiffe.peer.certificate,
        xfcc: spiffe.peer.xfcc,
        bundles: staticBundles(peer, agent),
      },
      token: {
        issuers,
        trustDomains,
        jwtSvid: spiffe.jwtSvid,
        bundles: spiffe.jwtSvid === undefined ? undefined : staticBundles(svid, agent),
        maxTokenBytes: limits.token,
      },
      onInvalidToken: trust.onInvalidToken,
      dpop: {
        origins: trust.dpop.origins,
        maxAgeMs: trust.dpop.maxAge,
        nonce: trust.dpop.nonce,
        nonceSecret: this.#nonceSecret,
        replay,
      },
      replay,
    });
    this.#identity = { key, identifier };
    return identifier;
  }

  #bundlesOf(files: Readonly<Record<string, string>>) {
    return new Map(
      Object.entries(files).map(
        ([trustDomain, path]) =>
          [trustDomain, this.#keys.bundle(beside(this.#options.configFile, path))] as const,
      ),
    );
  }
}

function approvalHeaders({ trust }: Config): readonly string[] {
  return [...new Set(['x-countersign-approval', ...trust.approvals.map(({ header }) => header)])];
}
