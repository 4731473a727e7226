/** One thing that is wrong, or doubtful, in a file that a person wrote. All of them are reported at once. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  /** A stable word: `unknown_key`, `wrong_type`, `duplicate_rule_id`, `unreachable_rule`, … */
  readonly code: string;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** Where in the document: `rules[2].when`; '' for the whole. */
  readonly path: string;
  /** One sentence: what is wrong and what is allowed. Never a secret's value. */
  readonly message: string;
  /** What to write instead, when it can be guessed: `did you mean "methods"?` */
  readonly suggestion: string | undefined;
}
