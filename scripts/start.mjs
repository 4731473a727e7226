// `npm start`: sets the checkout up, then plays the five cases. Options go on to the quick start.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import './setup.mjs';

const run = fileURLToPath(new URL('../build/examples/quickstart/run.js', import.meta.url));
const child = spawn(process.execPath, [run, ...process.argv.slice(2)], { stdio: 'inherit' });
// The child ends itself in order on Ctrl-C; this process waits for it.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill('SIGTERM'));
child.on('close', (code) => process.exit(code ?? 1));
