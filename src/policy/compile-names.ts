import { didYouMean } from '../document/did-you-mean.js';
import type { Path } from '../document/document.js';
import type { FileScope, PolicyScope, Report } from './compile.js';
import type { PrincipalEntry } from './policy-schema.js';
import { builtInPrincipals, compilePrincipal, type Principal } from './principal.js';
import type { Steps } from './steps.js';
import { compileTimeWindow, type TimeWindow } from './time-window.js';

/**
 * The principals of a file by name, the built-ins included. One that is wrong is reported where it
 * stands and matches nobody, so that no rule is reported for naming it. A step is one principal.
 */
export function* compilePrincipals(
  document: FileScope['document'],
  scope: PolicyScope,
  report: Report,
): Steps<ReadonlyMap<string, Principal>> {
  const principals = new Map(builtInPrincipals);
  for (const [name, entry] of Object.entries(document.value.principals)) {
    const path = ['principals', name];
    if (builtInPrincipals.has(name)) {
      report(path, 'reserved_name', `"${name}" is built in and cannot be defined`);
      continue;
    }
    principals.set(name, { name, isPeer: false, match: () => undefined });
    if (entry === undefined) continue;
    checkIssuers(entry, path, scope, report);
    const principal = compilePrincipal(name, entry);
    if ('match' in principal) principals.set(name, principal);
    else {
      for (const fault of principal) report([...path, ...fault.path], 'bad_pattern', fault.message);
    }
  }
  return principals;
}

function checkIssuers(
  { jwt }: PrincipalEntry,
  path: Path,
  { issuers }: PolicyScope,
  report: Report,
): void {
  for (const [at, issuer] of (jwt?.issuer ?? []).entries()) {
    if (issuers.includes(issuer)) continue;
    const message = `"${issuer}" is not the name of a configured issuer`;
    const suggestion = didYouMean(issuer, issuers);
    report([...path, 'jwt', 'issuer', at], 'unknown_issuer', message, suggestion);
  }
}

/** The windows of a file by name; one that is wrong is reported where it stands and never open. */
export function compileWindows(
  document: FileScope['document'],
  report: Report,
): ReadonlyMap<string, TimeWindow> {
  const windows = new Map<string, TimeWindow>();
  for (const [name, entry] of Object.entries(document.value.windows)) {
    const path = ['windows', name];
    windows.set(name, { name, contains: () => false });
    if (entry === undefined) continue;
    if (entry.from === entry.to) {
      const message = '`from` and `to` are the same: the window is never open';
      const suggestion = 'a whole day is from: "00:00", to: "24:00"';
      report([...path, 'to'], 'empty_window', message, suggestion);
    }
    const window = compileTimeWindow(name, entry);
    if (window !== undefined) windows.set(name, window);
    else {
      const message = `"${entry.timezone}" is not a time zone: use an IANA name such as Europe/Stockholm`;
      report([...path, 'timezone'], 'unknown_timezone', message);
    }
  }
  return windows;
}
