import { readFileSync } from 'node:fs';

const page = readFileSync('docs/envoy.md', 'utf8');

/** The files of envoy/ that `render` prints, and the options that make each, as docs/envoy.md lists them. */
export const rendered = [...page.matchAll(/^\| `([a-z-]+\.yaml)` \| `([^`]+)` \|/gm)].map(
  ([, file = '', options = '']) => ({ file, options: options.split(' ') }),
);
