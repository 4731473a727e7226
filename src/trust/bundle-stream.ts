import type { Client } from '@grpc/grpc-js';
import { Refusal } from '../errors.js';
import type { Decoded } from '../wire/decoded.js';
import { type BundleMap, bundlesRequest } from '../wire/workload.js';
import { grpc } from './grpc.js';

export interface BundleStreamOptions<T> {
  readonly client: Client;
  /** The gRPC path of the method. */
  readonly method: string;
  readonly decode: (message: Uint8Array) => Decoded<BundleMap>;
  /** Reads one trust domain's bundle, or says in a sentence why it is broken. */
  readonly parse: (bundle: Uint8Array) => T | string;
  /** Milliseconds of a clock that does not step back. */
  readonly nowMs: () => number;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
}

/** What operators are told of a stream. */
export interface BundleStreamState {
  readonly isOpen: boolean;
  /** How long the agent has been away; 0 while the stream is open, undefined before its first word. */
  readonly ageMs: number | undefined;
  /** Attempts that failed since a stream was open; 0 while one is. */
  readonly failures: number;
  /** Why the last stream ended or a bundle was not taken; without content of the bundles. */
  readonly lastError: string | undefined;
}

/** Bundles by trust domain, never pooled, as one stream of the Workload API keeps them. */
export interface BundleStream<T> {
  /** @param maxAgeMs how long a bundle is used after the agent was lost */
  get(trustDomain: string, maxAgeMs: number): T | Refusal;
  state(): BundleStreamState;
  close(): void;
}

interface Held<T> {
  readonly bytes: Uint8Array;
  readonly value: T;
  /** Since when the agent has not vouched for it; undefined while it does. */
  readonly lostAtMs: number | undefined;
}

const firstBackOffMs = 250;
const maxBackOffMs = 10_000;
/** After an answer that asking again does not change, but another agent in its place may. */
const slowBackOffMs = 300_000;
/** A stream that ends sooner counts as a failure, so that no agent can cause a tight loop. */
const lastingMs = 1_000;

/**
 * Keeps one stream of the Workload API open (SPIFFE Workload API §4). Each message is the whole
 * state: what it leaves out is no longer trusted. PermissionDenied drops everything at once; after
 * any other end the last state stays for as long as its reader says. A stream that lasted is opened
 * again at once, others after a back-off, a long one after InvalidArgument and Unimplemented. A bundle
 * that cannot be read does not replace a good one of its trust domain, and ages as if the agent were
 * away.
 */
export function bundleStream<T>(options: BundleStreamOptions<T>): BundleStream<T> {
  const { nowMs } = options;
  const { status } = grpc();
  let held: ReadonlyMap<string, Held<T>> = new Map();
  let call: ReturnType<typeof openCall> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let openedAtMs: number | undefined;
  let lastWordAtMs: number | undefined;
  let failures = 0;
  let lastError: string | undefined;
  let isClosed = false;

  const receive = (message: Uint8Array) => {
    const decoded = options.decode(message);
    if (!decoded.ok) {
      lastError = `the agent sends what cannot be read: ${decoded.reason}`;
      call?.cancel();
      return;
    }
    openedAtMs ??= nowMs();
    const taken = takeBundles(held, decoded.value, options);
    held = taken.held;
    lastError = taken.fault;
  };
  const ended = (code: number) => {
    call = undefined;
    const hasLasted = openedAtMs !== undefined && nowMs() - openedAtMs >= lastingMs;
    if (openedAtMs !== undefined) lastWordAtMs = nowMs();
    openedAtMs = undefined;
    held = code === status.PERMISSION_DENIED ? new Map() : lose(held, nowMs());
    if (code !== status.CANCELLED) lastError = `the agent answers ${status[code] ?? code}`;
    failures = hasLasted ? 0 : failures + 1;
    if (isClosed) return;
    const isRefused = code === status.INVALID_ARGUMENT || code === status.UNIMPLEMENTED;
    const delayMs = isRefused ? slowBackOffMs : hasLasted ? 0 : backOffMs(failures);
    timer = setTimeout(open, delayMs * (0.75 + options.random() / 4)).unref();
  };
  const open = () => {
    call = openCall(options.client, options.method);
    call.on('data', receive);
    // What an error says comes again as the status, which always ends a call.
    call.on('error', () => {});
    call.on('status', ({ code }) => ended(code));
  };
  open();

  return {
    get(trustDomain, maxAgeMs) {
      const entry = held.get(trustDomain);
      if (entry === undefined) return away(`the agent gives no bundle of ${trustDomain}`);
      const isTooOld = entry.lostAtMs !== undefined && nowMs() - entry.lostAtMs > maxAgeMs;
      return isTooOld ? away(`the bundle of ${trustDomain} is too old`) : entry.value;
    },
    state() {
      const isOpen = openedAtMs !== undefined;
      const ageMs = lastWordAtMs === undefined ? undefined : nowMs() - lastWordAtMs;
      return isOpen
        ? { isOpen, ageMs: 0, failures: 0, lastError }
        : { isOpen, ageMs, failures, lastError };
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
      call?.cancel();
    },
  };
}

function away(detail: string): Refusal {
  return new Refusal('bundle_unavailable', detail);
}

function openCall(client: Client, method: string) {
  const { Metadata } = grpc();
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');
  const same = (bytes: Uint8Array) => Buffer.from(bytes);
  return client.makeServerStreamRequest(method, same, same, bundlesRequest, metadata);
}

/** Doubles from a quarter of a second to ten seconds. */
function backOffMs(failures: number): number {
  return Math.min(maxBackOffMs, firstBackOffMs * 2 ** (failures - 1));
}

/** The bundles as they were, from now on without anyone who vouches for them. */
function lose<T>(held: ReadonlyMap<string, Held<T>>, nowMs: number): ReadonlyMap<string, Held<T>> {
  return new Map(
    [...held].map(([name, entry]) => [name, { ...entry, lostAtMs: entry.lostAtMs ?? nowMs }]),
  );
}

/** The next state: only what the message names, and an unchanged bundle is the very same value. */
function takeBundles<T>(
  held: ReadonlyMap<string, Held<T>>,
  bundles: BundleMap,
  { parse, nowMs }: BundleStreamOptions<T>,
): { readonly held: ReadonlyMap<string, Held<T>>; readonly fault: string | undefined } {
  const next = new Map<string, Held<T>>();
  let fault: string | undefined;
  for (const [id, bytes] of bundles) {
    const trustDomain = trustDomainOf(id);
    const before = trustDomain === undefined ? undefined : held.get(trustDomain);
    if (trustDomain === undefined) {
      fault = 'a bundle is not named by the id of a trust domain';
    } else if (before !== undefined && Buffer.compare(before.bytes, bytes) === 0) {
      next.set(trustDomain, { ...before, lostAtMs: undefined });
    } else {
      const value = parse(bytes);
      if (typeof value !== 'string') {
        next.set(trustDomain, { bytes, value, lostAtMs: undefined });
        continue;
      }
      fault = `the bundle of ${trustDomain} is not taken: ${value}`;
      if (before !== undefined) {
        next.set(trustDomain, { ...before, lostAtMs: before.lostAtMs ?? nowMs() });
      }
    }
  }
  return { held: next, fault };
}

/** SPIFFE-ID §2: the id of a trust domain has no path. */
function trustDomainOf(id: string): string | undefined {
  return /^spiffe:\/\/([a-z0-9._-]{1,255})$/.exec(id)?.[1];
}
