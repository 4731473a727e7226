import { randomBytes } from 'node:crypto';
import type { Snapshot } from '../check.js';
import type { Config } from '../config/config-schema.js';
import type { Environment } from '../config/parse-config.js';
import type { Finding } from '../document/finding.js';
import { type ApprovalBoard, approvalType, createApprovalVerifier } from '../evidence/approval.js';
import { createIdentifier, type Identifier } from '../identity/identify.js';
import { memoryStore } from '../replay/memory-store.js';
import type { ReplayStore } from '../replay/replay-store.js';
import { valkeyStore } from '../replay/valkey-store.js';
import { distinctKeys, type KeysInForce } from '../trust/distinct-keys.js';
import type { KeySet, KeySource } from '../trust/key-source.js';
import { staticBundles } from '../trust/spiffe-bundle.js';
import { beside, finding } from './files.js';
import { fingerprint } from './fingerprint.js';
import { defaultTypes, rulesOf } from './jwt-rules.js';
import { ConfigFile } from './load-config.js';
import { DataFiles } from './load-data.js';
import { type KeySourceState, Keys, keyFiles } from './load-keys.js';
import { PolicyFiles } from './load-policies.js';
import { type LoadState, nextLoadStates } from './load-states.js';

export interface LoaderOptions {
  readonly configFile: string;
  readonly environment: Environment;
  /** Epoch milliseconds. */
  readonly nowMs: () => number;
  /** Milliseconds of a clock that does not step back. */
  readonly monotonicMs: () => number;
  /** What processes that answer for each other share; absent: this process has its own. */
  readonly shared?: SharedState;
}

export interface SharedState {
  /** Makes DPoP nonces: one that another process gave is good here. */
  readonly nonceSecret: Buffer;
  /** The store behind `replay: { store: memory }`; `withinMs` is how long a Check waits for it. */
  readonly replayStore: (maxEntries: () => number, withinMs: () => number) => ReplayStore;
}

/** How often files that change while they are read are read again at once. */
const attempts = 5;

/**
 * Turns the configuration and the files it names into one snapshot, again and again. Each file's
 * last good content stays in force while it is broken; a snapshot exists only when every part of it
 * was good once, and is replaced whole.
 */
export class Loader {
  readonly #options: LoaderOptions;
  readonly #config = new ConfigFile();
  readonly #policies = new PolicyFiles();
  readonly #keys: Keys;
  readonly #data = new DataFiles();
  readonly #nonceSecret: Buffer;
  readonly #memory: ReplayStore;
  #identity: { readonly key: string; readonly identifier: Identifier } | undefined;
  #replay: { readonly key: string; readonly store: ReplayStore } | undefined;
  #sharedKeys: readonly Finding[] = [];
  #snapshot: Snapshot | undefined;
  #states: readonly LoadState[] = [];

  constructor(options: LoaderOptions) {
    this.#options = options;
    this.#keys = new Keys(options);
    const { shared } = options;
    this.#nonceSecret = shared?.nonceSecret ?? randomBytes(32);
    // One for ever, with the limit in force: a reload forgets nothing that was spent.
    const maxEntries = () => this.config?.replay.maxEntries ?? 0;
    const withinMs = () => (this.config?.deadline ?? 0) / 2;
    this.#memory = shared?.replayStore(maxEntries, withinMs) ?? memoryStore(maxEntries, options);
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
      ...this.#config.findings(this.#policies.value),
      ...this.#policies.findings(),
      ...this.#data.findings(),
      ...this.#keys.findings(),
      ...this.#sharedKeys,
    ];
  }

  /** How each thing that is loaded from files does. */
  fileStates(): readonly LoadState[] {
    return this.#states;
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

  /** Ends what goes on in the background. */
  async close(): Promise<void> {
    this.#keys.dropUnused();
    await this.#replay?.store.close();
  }

  /** The files and folders to watch. */
  paths(): readonly string[] {
    const { configFile } = this.#options;
    const { config } = this;
    if (config === undefined) return [configFile];
    const named = [...config.policies, ...Object.values(config.data)];
    return [
      configFile,
      ...named.map((path) => beside(configFile, path)),
      ...keyFiles(config, configFile),
    ];
  }

  /**
   * Reads everything anew. What changes while it is read is read again, so that no snapshot mixes two
   * states of the files.
   * @returns false when the files changed all the time: nothing new is in force, try again later
   */
  load(): boolean {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const before = fingerprint(this.paths());
      const snapshot = this.#read();
      const parts = [this.#config, this.#policies, this.#data, this.#keys];
      const tallies = parts.flatMap((part) => part.tallies());
      this.#states = nextLoadStates(this.#states, tallies, this.#options.nowMs());
      if (fingerprint(this.paths()) !== before) continue;
      if (snapshot !== undefined) this.#snapshot = snapshot;
      return true;
    }
    return false;
  }

  /** Undefined while a part of it was never good. */
  #read(): Snapshot | undefined {
    this.#config.refresh(this.#options.configFile, this.#options.environment);
    const { config } = this;
    if (config === undefined) return undefined;
    const { configFile, nowMs } = this.#options;
    const data = this.#data.refresh(config, configFile);
    this.#policies.refresh(config, configFile, data?.other);
    const identifier = this.#identifierOf(config);
    const approvals = createApprovalVerifier(this.#boards(config), config.limits.token);
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
      replay: this.#replayOf(config, nowMs),
      response: {
        ...config.respond,
        approvalHeaders: [
          ...new Set([
            'x-countersign-approval',
            ...config.trust.approvals.map((board) => board.header),
          ]),
        ],
      },
    });
  }

  /** Kept, with its cache of verified tokens, while neither its configuration nor a key changed. */
  #identifierOf(config: Config): Identifier {
    const { configFile, nowMs } = this.#options;
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
      jwks.file === undefined ? 0 : generationOf(issuers[at]?.keys.current() ?? {}),
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
    const replay = this.#replayOf(config, nowMs);
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

  /** The approval boards; while a key of a board is an identity issuer's as well, it approves nothing. */
  #boards(config: Config): readonly ApprovalBoard[] {
    const { configFile } = this.#options;
    const { jwt, approvals, spiffe } = config.trust;
    const svid = staticBundles(
      this.#bundlesOf(spiffe.jwtSvid?.bundles ?? {}),
      this.#keys.agent(spiffe),
    );
    const identities: readonly KeysInForce[] = [
      ...jwt.map((issuer) => this.#keys.source(issuer, configFile)),
      ...spiffe.trustDomains.map((name) => ({ current: () => svid.jwtKeys(name) })),
    ];
    this.#sharedKeys = [];
    return approvals.map((board) => {
      const source = this.#keys.source(board, configFile);
      const keys = distinctKeys(source, identities);
      if (countOf(keys) < countOf(source)) {
        const message = `a key of the approval board "${board.name}" is an identity issuer's as well`;
        const path = beside(configFile, board.jwks.file ?? '');
        this.#sharedKeys = [...this.#sharedKeys, finding(path, 'error', 'shared_key', message)];
      }
      return {
        name: board.name,
        header: board.header,
        rules: rulesOf(board, [approvalType]),
        keys,
      };
    });
  }

  #replayOf({ replay, deadline }: Config, nowMs: () => number): ReplayStore {
    const url = replay.store === 'valkey' ? replay.url : undefined;
    const key = url === undefined ? undefined : JSON.stringify([url, deadline]);
    if (key === undefined || this.#replay?.key !== key) {
      void this.#replay?.store.close();
      this.#replay =
        key === undefined || url === undefined
          ? undefined
          : { key, store: valkeyStore(url, nowMs, deadline / 2) };
    }
    return this.#replay?.store ?? this.#memory;
  }
}

function countOf(keys: KeySource): number {
  const current = keys.current();
  return 'keys' in current ? current.keys.length : 0;
}

function generationOf(keys: KeySet | object): number {
  return 'generation' in keys && typeof keys.generation === 'number' ? keys.generation : 0;
}
