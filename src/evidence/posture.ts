import { Refusal } from '../errors.js';
import { barrableIds, type Caller, callerIds } from '../identity/caller.js';
import type { JsonObject } from '../json/json-value.js';
import type { PostureRequirement } from '../policy/policy-set.js';
import type { Posture } from './data-files.js';
import { isIssuedBefore } from './revocation.js';

/**
 * Refuses a caller any of whose identities the posture file lists as anything but active, or with a
 * leaked secret, or with a credential older than `notBefore`: everywhere, whatever a rule asks. The
 * actor that uses a token counts like the token's subject.
 */
export function judgePosture(caller: Caller, posture: Posture | undefined): Refusal | undefined {
  if (posture === undefined) return undefined;
  for (const id of barrableIds(caller)) {
    const entry = posture.identities.get(id);
    if (entry === undefined) continue;
    if (entry.status !== 'active') return refused(`the posture of ${id} is ${entry.status}`);
    if (entry.secretStatus === 'leaked') return refused(`the secret of ${id} is leaked`);
    if (entry.notBefore !== undefined && isIssuedBefore(caller, id, entry.notBefore)) {
      return refused(`the credential of ${id} is older than its posture allows`);
    }
  }
  return undefined;
}

function refused(detail: string): Refusal {
  return new Refusal('posture_refused', detail);
}

/** Holds every identity of the caller to `require.posture`: listed, fresh, in the states given. */
export function requirePosture(
  requirement: PostureRequirement,
  caller: Caller,
  posture: Posture | undefined,
  nowMs: number,
): Refusal | undefined {
  if (posture === undefined) return new Refusal('posture_unknown', 'there is no posture file');
  const ids = callerIds(caller);
  const unlisted = ids.find((id) => !posture.identities.has(id));
  if (ids.length === 0 || unlisted !== undefined) {
    return new Refusal(
      'posture_unknown',
      `the posture file does not list ${unlisted ?? 'the caller'}`,
    );
  }
  const ageMs = nowMs - posture.updatedAtMs;
  if (requirement.maxAgeMs !== undefined && ageMs > requirement.maxAgeMs) {
    return new Refusal(
      'posture_stale',
      `the posture file is ${Math.floor(ageMs / 1000)} s old, over ${requirement.maxAgeMs / 1000} s`,
    );
  }
  for (const id of ids) {
    const { status, secretStatus } = posture.identities.get(id) ?? {};
    if (!isAmong(status, requirement.status)) return refused(`the posture of ${id} is ${status}`);
    if (!isAmong(secretStatus, requirement.secretStatus)) {
      return refused(`the secret of ${id} is ${secretStatus ?? 'not listed'}`);
    }
  }
  return undefined;
}

function isAmong(value: string | undefined, allowed: readonly string[] | undefined): boolean {
  return allowed === undefined || (value !== undefined && allowed.includes(value));
}

/** The posture file's entry of the caller (its peer's first), for conditions. */
export function postureEntry(caller: Caller, posture: Posture | undefined): JsonObject | undefined {
  if (posture === undefined) return undefined;
  for (const id of callerIds(caller)) {
    const entry = posture.identities.get(id);
    if (entry !== undefined) return entry.entry;
  }
  return undefined;
}
