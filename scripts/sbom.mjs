// `npm run sbom [FILE]`: writes what the program consists of as a CycloneDX document: the production
// dependencies by the lock file, and the Node.js and C library that run it here.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** npm beside the Node.js that runs this: an image for building need not have a shell. */
export const npm = join(
  dirname(process.execPath),
  '..',
  'lib',
  'node_modules',
  'npm',
  'bin',
  'npm-cli.js',
);

/** @param folder where package.json and package-lock.json are */
export function writeSbom(folder, file) {
  const production = mkdtempSync(join(tmpdir(), 'countersign-sbom-'));
  writeProductionLock(folder, production);
  const args = [npm, 'sbom', '--package-lock-only', '--sbom-format=cyclonedx'];
  const text = execFileSync(process.execPath, args, { cwd: production, encoding: 'utf8' });
  rmSync(production, { recursive: true });
  const sbom = JSON.parse(text);
  const glibc = process.report.getReport().header.glibcVersionRuntime;
  sbom.components.push(
    runtime('node', process.versions.node),
    ...(glibc === undefined ? [] : [runtime('glibc', glibc)]),
  );
  writeFileSync(file, `${JSON.stringify(sbom, null, 2)}\n`);
  return sbom;
}

/** `npm sbom --omit=dev` leaves out what development needs as well (npm 11.19): so nothing of that is here. */
function writeProductionLock(from, to) {
  const read = (name) => JSON.parse(readFileSync(join(from, name), 'utf8'));
  const { devDependencies: _, ...own } = read('package.json');
  const lock = read('package-lock.json');
  delete lock.packages[''].devDependencies;
  const kept = Object.entries(lock.packages).filter(([, { dev }]) => dev !== true);
  const write = (name, content) => writeFileSync(join(to, name), JSON.stringify(content));
  write('package.json', own);
  write('package-lock.json', { ...lock, packages: Object.fromEntries(kept) });
}

function runtime(name, version) {
  return { type: 'platform', name, version, purl: `pkg:generic/${name}@${version}` };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const file = process.argv[2] ?? join(root, 'build', 'sbom.cdx.json');
  const { components } = writeSbom(root, file);
  console.log(`${file}: ${components.length} components`);
}
