const PARTS = 64;

/**
 * A map in 64 parts. A `Map` moves all of its entries to another table when it has grown or shrunk, which blocks the event loop for 16 ms at a
 * million of them; a part moves its own.
 */
export class SplitMap<Key extends string, Value> {
  readonly #parts = Array.from({ length: PARTS }, () => new Map<Key, Value>());
  /** For keys that are too short. */
  readonly #others = new Map<Key, Value>();

  /** @param at which character of a key says in which part it is; random, of base64url */
  constructor(private readonly at: number) {}

  get(key: Key): Value | undefined {
    return this.#partOf(key).get(key);
  }

  set(key: Key, value: Value): void {
    this.#partOf(key).set(key, value);
  }

  delete(key: Key): void {
    this.#partOf(key).delete(key);
  }

  #partOf(key: Key): Map<Key, Value> {
    return this.#parts[key.charCodeAt(this.at) % PARTS] ?? this.#others;
  }
}
