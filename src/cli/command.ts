import type { ParseArgsConfig } from 'node:util';

/** What a command reads and writes, so that tests can hold the other ends. */
export interface Io {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** 0 good, 1 findings, 2 misuse (PRODUCT.md, Commands). */
export type ExitCode = 0 | 1 | 2;

export interface Arguments {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What follows the name: `SUITE…`, `FILE`; '' when nothing may. */
  readonly operands: string;
  /** Options beside `--help` and `-c`. */
  readonly options: NonNullable<ParseArgsConfig['options']>;
  /** Lines of `--help` on the options, one each. */
  readonly help: readonly string[];
  run(args: Arguments, io: Io): Promise<ExitCode>;
}

/** A command used in a way it does not have: said on stderr, exit code 2. */
export class Misuse extends Error {}

/** The value of a string option. */
export function text(args: Arguments, name: string): string | undefined {
  const value = args.values[name];
  return typeof value === 'string' ? value : undefined;
}

/** The value of a string option that the command cannot do without. */
export function needed(args: Arguments, name: string): string {
  const value = text(args, name);
  if (value === undefined) throw new Misuse(`--${name} is missing`);
  return value;
}
