import { Refusal } from '../errors.js';
import { isJsonObject, member } from '../json/json-value.js';
import { parseJson } from '../json/parse-json.js';
import { parseJwks } from './jwks.js';
import type { KeySet, KeySource } from './key-source.js';
import { mayLeadTo } from './trusted-url.js';

export interface RemoteJwksOptions {
  /** The key set's URL, or the issuer whose OpenID configuration names it. */
  readonly at: { readonly url: string } | { readonly issuer: string };
  readonly algorithms: readonly string[];
  /** How often the set is fetched again. */
  readonly refreshMs: number;
  /** How much longer the last good set is used while fetching fails. */
  readonly staleMaxMs: number;
  /** How long one answer is waited for, its body included. */
  readonly timeoutMs: number;
  /** Milliseconds of a clock that does not step back, so that no step keeps old keys longer. */
  readonly nowMs: () => number;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
}

/** What operators are told of a remote key set. */
export interface RemoteJwksState {
  readonly ageMs: number | undefined;
  readonly failures: number;
  readonly lastError: string | undefined;
}

export interface RemoteJwks extends KeySource {
  state(): RemoteJwksState;
}

const maxBytes = 256 * 1024;
const firstBackOffMs = 1_000;
/** An unknown key id may cause one fetch in this time, however many tokens name it. */
const cooldownMs = 5_000;

/**
 * Keys by URL or OIDC discovery, fetched in the background alone: a Check never waits for them and
 * never causes more than one fetch per cool-down. While the endpoint is away, answers nonsense,
 * redirects or hangs, the last good set stays, up to `staleMaxMs`; `{"keys":[]}` is a good answer
 * and revokes.
 */
export function remoteJwks(options: RemoteJwksOptions): RemoteJwks {
  let keySet: KeySet | undefined;
  let goodAtMs = 0;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let failures = 0;
  let lastError: string | undefined;
  let isFetching = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;

  const schedule = (delayMs: number) => {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(refresh, delayMs).unref();
  };
  const refresh = () => {
    if (isFetching || isClosed) return;
    isFetching = true;
    triedAtMs = options.nowMs();
    load(options)
      .then(
        (fetched) => {
          keySet = fetched;
          goodAtMs = options.nowMs();
          failures = 0;
          lastError = undefined;
        },
        (error: unknown) => {
          failures += 1;
          lastError = error instanceof Unavailable ? error.message : 'it cannot be reached';
        },
      )
      .finally(() => {
        isFetching = false;
        schedule(nextDelay(options, failures));
      });
  };
  refresh();

  return {
    current() {
      if (keySet === undefined)
        return new Refusal('keys_unavailable', 'the keys were never fetched');
      const ageMs = options.nowMs() - goodAtMs;
      return ageMs > options.refreshMs + options.staleMaxMs
        ? new Refusal('keys_unavailable', 'the keys are too old, and cannot be fetched again')
        : keySet;
    },
    missing() {
      const isCoolingDown = options.nowMs() - triedAtMs < cooldownMs;
      if (!isCoolingDown && failures === 0) schedule(0);
    },
    state: () => ({
      ageMs: keySet === undefined ? undefined : options.nowMs() - goodAtMs,
      failures,
      lastError,
    }),
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Refresh time after a success, a doubling back-off after failures; never all clients at once. */
function nextDelay({ refreshMs, random }: RemoteJwksOptions, failures: number): number {
  const delayMs =
    failures === 0 ? refreshMs : Math.min(refreshMs, firstBackOffMs * 2 ** (failures - 1));
  return delayMs * (0.75 + random() / 4);
}

/** Why a fetch gave no keys: a sentence without content of the answer. */
class Unavailable extends Error {}

async function load({ at, algorithms, timeoutMs }: RemoteJwksOptions): Promise<KeySet> {
  const url = 'url' in at ? at.url : await discover(at.issuer, timeoutMs);
  const parsed = parseJwks(await fetchText(url, timeoutMs), algorithms);
  if (typeof parsed === 'string') throw new Unavailable(parsed);
  return parsed.keySet;
}

/** OpenID Connect Discovery §4: the configuration must name the very issuer it was asked of. */
async function discover(issuer: string, timeoutMs: number): Promise<string> {
  const base = issuer.replace(/\/$/, '');
  const text = await fetchText(`${base}/.well-known/openid-configuration`, timeoutMs);
  const parsed = parseJson(text, { maxDepth: 16, maxBytes });
  const configuration = parsed.ok && isJsonObject(parsed.value) ? parsed.value : undefined;
  const url = member(configuration, 'jwks_uri');
  if (member(configuration, 'issuer') !== issuer) {
    throw new Unavailable('the OpenID configuration is not the issuer’s own');
  }
  if (typeof url !== 'string' || !mayLeadTo(issuer, url)) {
    throw new Unavailable('the OpenID configuration names no jwks_uri that is trusted');
  }
  return url;
}

async function fetchText(url: string, timeoutMs: number): Promise<string> {
  const response = await fetch(url, {
    redirect: 'manual',
    signal: AbortSignal.timeout(timeoutMs),
    // The API server of Kubernetes answers 406 to whom its own type of the two is not named (RFC 7517 §8.5).
    headers: { accept: 'application/jwk-set+json, application/json' },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Unavailable(`it answers ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw new Unavailable(`it is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
