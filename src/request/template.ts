/** A compiled path template (PRODUCT.md, Policy files). */
export interface Template {
  readonly source: string;
  readonly parts: readonly TemplatePart[];
}

export type TemplatePart =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'capture'; readonly name: string }
  /** `*` */
  | { readonly kind: 'one' }
  /** `**` */
  | { readonly kind: 'any' };
