import type { Config } from '../config/config-schema.js';
import type { Finding } from '../document/finding.js';
import { type ApprovalBoard, approvalType } from '../evidence/approval.js';
import { distinctKeys, type KeysInForce } from '../trust/distinct-keys.js';
import type { BundleSource, KeySource } from '../trust/key-source.js';
import { beside, finding } from './files.js';
import { rulesOf } from './jwt-rules.js';
import type { Keys } from './load-keys.js';

/** The approval boards; while a key of a board is an identity issuer's as well, it approves nothing. */
export function loadBoards(
  { trust: { jwt, approvals, spiffe } }: Config,
  keys: Keys,
  svid: BundleSource,
  configFile: string,
) {
  const identities: readonly KeysInForce[] = [
    ...jwt.map((issuer) => keys.source(issuer, configFile)),
    ...spiffe.trustDomains.map((name) => ({ current: () => svid.jwtKeys(name) })),
  ];
  const findings: Finding[] = [];
  const boards = approvals.map((board): ApprovalBoard => {
    const source = keys.source(board, configFile);
    const distinct = distinctKeys(source, identities);
    if (countOf(distinct) < countOf(source)) {
      const message = `a key of the approval board "${board.name}" is an identity issuer's as well`;
      const path = beside(configFile, board.jwks.file ?? '');
      findings.push(finding(path, 'error', 'shared_key', message));
    }
    const rules = rulesOf(board, [approvalType]);
    return { name: board.name, header: board.header, rules, keys: distinct };
  });
  return { boards, findings };
}

function countOf(keys: KeySource): number {
  const current = keys.current();
  return 'keys' in current ? current.keys.length : 0;
}
