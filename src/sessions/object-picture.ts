/** Room for an ordinary user. An array that grows from empty is copied twice on the way to this size. */
const USUAL_PARTS = 32;

/**
 * The objects and arrays of a JSON value as `JSON.parse` has made them, with all their keys and values in one list. To compare it takes a
 * fraction of the time that writing the JSON text anew would.
 */
export class ObjectPicture {
  /** For each object: itself, the number of its keys, then each key and its value. For each array: itself, its length, then its elements. */
  readonly #parts: unknown[] = new Array<unknown>(USUAL_PARTS);
  #length = 0;

  /** @param value what `JSON.parse` has made, before other code can change it */
  constructor(value: object) {
    this.#add(value);
  }

  /**
   * Whether the JSON text of the value is the same as before, and the value still one that can be stored. False proves nothing: an object in
   * the place of an equal one, for example, is another one here.
   */
  isUnchanged(): boolean {
    const parts = this.#parts;
    for (let at = 0; at < this.#length;) {
      const container = parts[at] as object;
      const size = parts[at + 1] as number;
      const isSame = Array.isArray(container)
        ? this.#isSameArray(container, size, at + 2)
        : this.#isSameObject(container as Record<string, unknown>, size, at + 2);
      if (!isSame) return false;
      at += 2 + (Array.isArray(container) ? size : 2 * size);
    }
    return true;
  }

  #add(container: object): void {
    if (Array.isArray(container)) this.#addArray(container);
    else this.#addObject(container as Record<string, unknown>);
  }

  #addArray(array: readonly unknown[]): void {
    this.#put(array);
    this.#put(array.length);
    const end = this.#length + array.length;
    for (let index = 0; this.#length < end; index++) this.#put(array[index]);
    for (let at = end - array.length; at < end; at++) this.#addContainer(this.#parts[at]);
  }

  #addObject(object: Record<string, unknown>): void {
    this.#put(object);
    const sizeAt = this.#length++;
    for (const key in object) {
      this.#put(key);
      this.#put(object[key]);
    }
    const end = this.#length;
    this.#parts[sizeAt] = (end - sizeAt - 1) / 2;
    for (let at = sizeAt + 2; at < end; at += 2) this.#addContainer(this.#parts[at]);
  }

  #addContainer(value: unknown): void {
    if (typeof value === 'object' && value !== null) this.#add(value);
  }

  #put(part: unknown): void {
    this.#parts[this.#length++] = part;
  }

  #isSameArray(array: readonly unknown[], length: number, from: number): boolean {
    if (array.length !== length || Object.getPrototypeOf(array) !== Array.prototype) return false;
    for (let index = 0; index < length; index++) if (array[index] !== this.#parts[from + index]) return false;
    // A hole takes no key, a named property takes one more. JSON would call a `toJSON` that is hidden.
    return Object.keys(array).length === length && !Object.hasOwn(array, 'toJSON');
  }

  #isSameObject(object: Record<string, unknown>, size: number, from: number): boolean {
    if (Object.getPrototypeOf(object) !== Object.prototype) return false;
    const end = from + 2 * size;
    let at = from;
    for (const key in object) {
      if (at === end || this.#parts[at] !== key || this.#parts[at + 1] !== object[key]) return false;
      at += 2;
    }
    // Hidden properties and symbols, which JSON would drop.
    return (
      at === end &&
      Object.getOwnPropertyNames(object).length === size &&
      Object.getOwnPropertySymbols(object).length === 0
    );
  }
}
