import { parseArgs } from 'node:util';
import { approve } from './approve.js';
import { type Command, type ExitCode, type Io, Misuse } from './command.js';
import { explain } from './explain.js';
import { inject } from './inject.js';
import { render } from './render.js';
import { serve } from './serve.js';
import { test } from './test.js';
import { validate } from './validate.js';
import { programVersion } from './version.js';

const commands: readonly Command[] = [serve, validate, test, explain, approve, render, inject];

const processIo: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

/** Runs one command line and gives its exit code. Misuse is explained on stderr. */
export async function run(argv: readonly string[], io: Io = processIo): Promise<ExitCode> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === 'help') {
    (name === undefined ? io.err : io.out)(overview());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version') {
    io.out(`${programVersion()}\n`);
    return 0;
  }
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) {
    io.err(`countersign: there is no command "${name}"\n\n${overview()}`);
    return 2;
  }
  try {
    return await runCommand(command, rest, io);
  } catch (error) {
    if (!(error instanceof Misuse)) throw error;
    io.err(`countersign ${name}: ${error.message}\n\n${usage(command)}`);
    return 2;
  }
}

async function runCommand(command: Command, rest: string[], io: Io): Promise<ExitCode> {
  const args = parse(command, rest);
  if (args.values['help'] === true) {
    io.out(usage(command));
    return 0;
  }
  if (command.operands === '' && args.positionals.length > 0) {
    throw new Misuse(`"${args.positionals[0]}" is not expected here`);
  }
  return command.run(args, io);
}

function parse(command: Command, rest: string[]) {
  const options = {
    help: { type: 'boolean', short: 'h' },
    config: { type: 'string', short: 'c', default: 'countersign.yaml' },
    ...command.options,
  } as const;
  try {
    const { positionals, values } = parseArgs({ args: rest, options, allowPositionals: true });
    return { positionals, values: values as Record<string, string | boolean | undefined> };
  } catch (error) {
    throw new Misuse(error instanceof Error ? error.message : 'the options cannot be read');
  }
}

function overview(): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: countersign COMMAND [-c countersign.yaml] …\n\n${lines.join('\n')}\n\ncountersign COMMAND --help tells its options, countersign --version the version.\n`;
}

function usage(command: Command): string {
  const operands = command.operands === '' ? '' : ` ${command.operands}`;
  const lines = ['-c, --config FILE   the configuration (countersign.yaml)', ...command.help];
  return `Usage: countersign ${command.name}${operands} [options]\n${command.summary}\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
