import { processEnvironment } from '../config/environment.js';
import { byPosition } from '../document/document.js';
import type { Finding } from '../document/finding.js';
import { renderFindings } from '../document/render-findings.js';
import { Loader } from '../load/loader.js';
import { readHere } from '../load/reader.js';
import { type IstioFiles, readIstioFiles } from '../render/istio-files.js';
import { lintIstio } from '../render/lint-istio.js';
import { needsOf } from '../render/needs.js';
import { unmetNeeds } from '../render/unmet.js';
import { type Arguments, type Command, Misuse } from './command.js';
import { configFile, countOf, sourceOf } from './config-file.js';

/** `countersign validate`: everything that is wrong with the files, with line and column. */
export const validate: Command = {
  name: 'validate',
  summary: 'all errors and warnings of the configuration, policies, data and keys',
  operands: '[--istio FILE…]',
  options: {
    strict: { type: 'boolean' },
    istio: { type: 'boolean' },
    waypoint: { type: 'boolean' },
    json: { type: 'boolean' },
  },
  help: [
    '--strict            warnings count as errors',
    '--istio [FILE…]     what an extension provider of Istio cannot carry, and what is wrong with',
    '                    MeshConfig, AuthorizationPolicy and Sidecar in these files',
    '--waypoint          with --istio: asked by a waypoint',
    '--json              findings as JSON',
  ],
  async run(args, io) {
    const isIstio = args.values['istio'] === true;
    const [stranger] = args.positionals;
    if (stranger !== undefined && !isIstio) throw new Misuse(`"${stranger}" is not expected here`);
    const files = readIstioFiles(args.positionals.map(readNamed));
    const loader = new Loader({
      configFile: configFile(args),
      environment: processEnvironment(),
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      reader: readHere(),
    });
    await loader.load();
    const istio = isIstio ? istioFindings(loader, files, args) : [];
    const findings = [...loader.findings(), ...istio].sort(byPosition);
    const errors = countOf(findings, 'error');
    const warnings = countOf(findings, 'warning');
    const policy = loader.snapshot?.policy;
    await loader.close();
    if (args.values['json'] === true) {
      io.out(
        `${JSON.stringify({ errors, warnings, revision: policy?.revision, findings }, null, 2)}\n`,
      );
    } else {
      io.out(renderFindings(findings, sourceOf));
      const rules =
        policy === undefined ? '' : `${policy.rules.length} rules, revision ${policy.revision}; `;
      io.out(`${rules}${plural(errors, 'error')}, ${plural(warnings, 'warning')}\n`);
    }
    return errors > 0 || (args.values['strict'] === true && warnings > 0) ? 1 : 0;
  },
};

function readNamed(file: string) {
  const text = sourceOf(file);
  if (text === undefined) throw new Misuse(`there is no file ${file}`);
  return { file, text };
}

function istioFindings(
  { config, snapshot }: Loader,
  files: IstioFiles,
  args: Arguments,
): readonly Finding[] {
  if (config === undefined || snapshot === undefined) return [];
  const needs = needsOf(config, snapshot.policy);
  const target = args.values['waypoint'] === true ? 'waypoint' : 'istio';
  return [...unmetNeeds(needs, target, configFile(args)), ...lintIstio(needs, files)];
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
