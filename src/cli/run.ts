import { parseArgs } from 'node:util';
import { type Command, type ExitCode, type Io, Misuse } from './command.js';

/**
 * Loads a command when it is called for: what the others need is not waited for.
 * @param isToRun false: only what it says of itself is asked
 */
type Load = (isToRun: boolean) => Promise<Command>;

const commands: Readonly<Record<string, Load>> = {
  serve: async (isToRun) => {
    const { readInThread } = await import('../load/threaded-reader.js');
    const reader = readInThread();
    // It reads its modules on another core while this thread reads those of the server.
    if (isToRun) reader.expect();
    return (await import('./serve.js')).createServe(reader);
  },
  validate: async () => (await import('./validate.js')).validate,
  test: async () => (await import('./test.js')).test,
  explain: async () => (await import('./explain.js')).explain,
  approve: async () => (await import('./approve.js')).approve,
  render: async () => (await import('./render.js')).render,
  inject: async () => (await import('./inject.js')).inject,
};

const processIo: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

/** Runs one command line and gives its exit code. Misuse is explained on stderr. */
export async function run(argv: readonly string[], io: Io = processIo): Promise<ExitCode> {
  const [name, ...rest] = argv;
  if (name === undefined || name === '--help' || name === 'help') {
    (name === undefined ? io.err : io.out)(await overview());
    return name === undefined ? 2 : 0;
  }
  if (name === '--version') {
    io.out(`${(await import('./version.js')).programVersion()}\n`);
    return 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    io.err(`countersign: there is no command "${name}"\n\n${await overview()}`);
    return 2;
  }
  const command = await load(!rest.includes('--help') && !rest.includes('-h'));
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

async function overview(): Promise<string> {
  const all = await Promise.all(Object.values(commands).map((load) => load(false)));
  const width = Math.max(...all.map(({ name }) => name.length));
  const lines = all.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: countersign COMMAND [-c countersign.yaml] …\n\n${lines.join('\n')}\n\ncountersign COMMAND --help tells its options, countersign --version the version.\n`;
}

function usage(command: Command): string {
  const operands = command.operands === '' ? '' : ` ${command.operands}`;
  const lines = ['-c, --config FILE   the configuration (countersign.yaml)', ...command.help];
  return `Usage: countersign ${command.name}${operands} [options]\n${command.summary}\n\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
