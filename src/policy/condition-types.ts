/** What is known at load of the value of an expression. */
export type Type = 'bool' | 'string' | 'number' | 'timestamp' | 'list' | 'map' | 'null' | 'any';

/** Result types of the functions that a condition may call: CEL's standard ones and our own. */
export const functions: Readonly<Record<string, Type>> = {
  '_==_': 'bool',
  '_!=_': 'bool',
  '_<_': 'bool',
  '_<=_': 'bool',
  '_>_': 'bool',
  '_>=_': 'bool',
  '_&&_': 'bool',
  '_||_': 'bool',
  '!_': 'bool',
  '@in': 'bool',
  _in_: 'bool',
  '@not_strictly_false': 'bool',
  '_?_:_': 'any',
  '_+_': 'any',
  '_-_': 'any',
  '_*_': 'number',
  '_/_': 'number',
  '_%_': 'number',
  '-_': 'number',
  '_[_]': 'any',
  size: 'number',
  startsWith: 'bool',
  endsWith: 'bool',
  contains: 'bool',
  matches: 'bool',
  int: 'number',
  uint: 'number',
  double: 'number',
  string: 'string',
  bytes: 'any',
  bool: 'bool',
  dyn: 'any',
  type: 'any',
  timestamp: 'timestamp',
  duration: 'any',
  getFullYear: 'number',
  getMonth: 'number',
  getDate: 'number',
  getDayOfMonth: 'number',
  getDayOfWeek: 'number',
  getDayOfYear: 'number',
  getHours: 'number',
  getMinutes: 'number',
  getSeconds: 'number',
  getMilliseconds: 'number',
  inCidr: 'bool',
  isSpiffe: 'bool',
  inWindow: 'bool',
  spiffe: 'map',
};

/** The type of a constant of the syntax tree. */
export function constantType(kind: string | undefined): Type {
  switch (kind) {
    case 'stringValue':
      return 'string';
    case 'boolValue':
      return 'bool';
    case 'nullValue':
      return 'null';
    case 'int64Value':
    case 'uint64Value':
    case 'doubleValue':
      return 'number';
    default:
      return 'any';
  }
}
