// Makes in FOLDER what goes into the image: `app` the program, `node` what runs it, `run` the folder of
// its socket. Runs inside the Dockerfile's build stage, and needs no shell there.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { npm, writeSbom } from './sbom.mjs';

const source = fileURLToPath(new URL('..', import.meta.url));
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('image-root.mjs FOLDER');
const app = join(folder, 'app');
const node = join(folder, 'node');

function run(cwd, ...args) {
  execFileSync(process.execPath, args, { cwd, stdio: 'inherit' });
}

/** No script of a package runs here. */
const install = [npm, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];

function makeProgram() {
  mkdirSync(app, { recursive: true });
  run(source, ...install);
  const compiler = join(source, 'node_modules', 'typescript', 'bin', 'tsc');
  run(source, compiler, '-p', 'tsconfig.image.json', '--outDir', join(app, 'build'));
  for (const name of ['package.json', 'package-lock.json', 'LICENSE']) {
    copyFileSync(join(source, name), join(app, name));
  }
  run(app, ...install, '--omit=dev');
  writeSbom(app, join(app, 'sbom.cdx.json'));
  rmSync(join(app, 'package-lock.json'));
  prune(join(app, 'node_modules'));
}

/** What only editors and readers need. */
const idle = /(?<!^(licen[cs]e|notice))\.(d\.[cm]?ts|map|md|markdown)$/i;

function prune(at) {
  for (const entry of readdirSync(at, { withFileTypes: true })) {
    const path = join(at, entry.name);
    if (entry.isDirectory()) prune(path);
    else if (idle.test(entry.name)) rmSync(path);
  }
}

/** Node.js, the libraries that it has loaded, and the few files that a C library looks for. */
function makeRuntime() {
  process.report.excludeNetwork = true;
  const { sharedObjects } = process.report.getReport();
  place(process.execPath, '/usr/local/bin/node');
  for (const path of sharedObjects.filter((name) => name.startsWith('/'))) place(path, path);
  write('/etc/passwd', 'countersign:x:65532:65532::/app:/sbin/nologin\n');
  write('/etc/group', 'countersign:x:65532:\n');
  write('/etc/nsswitch.conf', 'hosts: files dns\n');
  mkdirSync(join(folder, 'run', 'countersign'), { recursive: true });
}

function place(from, to) {
  mkdirSync(dirname(join(node, to)), { recursive: true });
  cpSync(realpathSync(from), join(node, to));
}

function write(path, text) {
  mkdirSync(dirname(join(node, path)), { recursive: true });
  writeFileSync(join(node, path), text);
}

makeProgram();
makeRuntime();
