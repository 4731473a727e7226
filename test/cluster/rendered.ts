import { run } from '../../src/cli/run.js';
import { type Manifest, manifestsOf } from './kubectl.js';

/** The documents that a command of Countersign prints; rejects with what it said when it fails. */
export async function printed(...argv: readonly string[]): Promise<readonly Manifest[]> {
  let out = '';
  let err = '';
  const io = { out: (text: string) => (out += text), err: (text: string) => (err += text) };
  if ((await run(argv, io)) !== 0) throw new Error(err);
  return manifestsOf(out);
}
