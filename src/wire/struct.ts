/** google.protobuf.Value as plain data. Objects have a null prototype, so no key can reach one. */
export type StructValue =
  | null
  | boolean
  | number
  | string
  | readonly StructValue[]
  | { readonly [key: string]: StructValue };

/** google.protobuf.Struct as a null-prototype object. */
export type Struct = { readonly [key: string]: StructValue };
