import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
// Of its two builds the one for `require`: its 127 files are there in two thirds of the time.
const cel = require('@bufbuild/cel') as typeof import('@bufbuild/cel');
const wkt = require('@bufbuild/protobuf/wkt') as typeof import('@bufbuild/protobuf/wkt');

export const { CelScalar, celEnv, celFunc, celList, celMap, celMethod, isCelError, parse, plan } =
  cel;
export const { timestampFromMs } = wkt;
export type { CelFunc, CelList } from '@bufbuild/cel';
