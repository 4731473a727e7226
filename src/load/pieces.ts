/**
 * A plain value (objects, lists, maps, sets and what structured clone takes) in pieces of bounded
 * size. A thread that answers requests receives a large value piece by piece, and answers in between;
 * as one message, reading it would take as long as the value is large.
 */
export type Piece =
  | {
      readonly open: number;
      readonly kind: Kind;
      /** The container that it goes into, and where; of the outermost: none. */
      readonly into: number | undefined;
      readonly key: unknown;
    }
  | { readonly into: number; readonly items: readonly Item[] };

type Kind = 'object' | 'list' | 'map' | 'set';
type Item = readonly [key: unknown, value: unknown];

/** How many values are one piece, about: a tenth of a millisecond's worth. */
const pieceWeight = 400;

/** Cuts `value` up; `joinPieces` puts it together again. */
export function* toPieces(value: object): Generator<Piece> {
  let opened = 0;
  yield { open: 0, kind: kindOf(value), into: undefined, key: undefined };
  yield* inside(value, 0);

  function* inside(container: object, id: number): Generator<Piece> {
    let items: Item[] = [];
    let weight = 0;
    for (const item of itemsOf(container)) {
      const [key, member] = item;
      const itsWeight = weightOf(member);
      if (itsWeight > pieceWeight && isContainer(member)) {
        if (items.length > 0) yield { into: id, items };
        items = [];
        weight = 0;
        opened += 1;
        const child = opened;
        yield { open: child, kind: kindOf(member), into: id, key };
        yield* inside(member, child);
        continue;
      }
      items.push(item);
      weight += itsWeight;
      if (weight < pieceWeight) continue;
      yield { into: id, items };
      items = [];
      weight = 0;
    }
    if (items.length > 0) yield { into: id, items };
  }
}

/** Puts pieces together, in the order they were cut. */
export class PieceJoiner {
  readonly #containers: object[] = [];

  take(piece: Piece): void {
    if ('open' in piece) {
      const { open, kind, into, key } = piece;
      const container = emptyOf(kind);
      this.#containers[open] = container;
      if (into !== undefined) this.#put(into, [key, container]);
      return;
    }
    for (const item of piece.items) this.#put(piece.into, item);
  }

  /** The whole value, once every piece was taken. */
  get value(): unknown {
    return this.#containers[0];
  }

  #put(into: number, [key, value]: Item): void {
    const container = this.#containers[into];
    if (Array.isArray(container)) container.push(value);
    else if (container instanceof Map) container.set(key, value);
    else if (container instanceof Set) container.add(value);
    else if (container !== undefined) Reflect.set(container, String(key), value);
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function kindOf(value: object): Kind {
  if (Array.isArray(value)) return 'list';
  if (value instanceof Map) return 'map';
  return value instanceof Set ? 'set' : 'object';
}

function emptyOf(kind: Kind): object {
  if (kind === 'list') return [];
  if (kind === 'map') return new Map();
  return kind === 'set' ? new Set() : {};
}

function itemsOf(value: object): Iterable<Item> {
  if (value instanceof Map || value instanceof Set || Array.isArray(value)) return value.entries();
  return Object.entries(value);
}

/** How many values there are in one, texts by their length; of a large one, more than a piece has. */
function weightOf(value: unknown): number {
  if (typeof value === 'string') return 1 + value.length / 64;
  if (!isContainer(value)) return 1;
  let weight = 1;
  for (const [key, member] of itemsOf(value)) {
    weight += weightOf(member) + (typeof key === 'string' ? 1 : 0);
    if (weight > pieceWeight) return weight;
  }
  return weight;
}
