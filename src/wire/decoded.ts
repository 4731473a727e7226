/** What a total decoder returns: the value, or why the bytes were refused (a sentence, no content). */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };
