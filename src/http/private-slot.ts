/** Returns its argument, so that a class which extends it adds its private fields to an existing object. */
const Adopt = function (subject: object): object {
  return subject;
} as unknown as new (subject: object) => object;

/**
 * One value for each object of another library, as in a `WeakMap`: it cannot be seen on the object, and is collected with it. A private
 * field does the same at a fraction of the cost: with requests as keys, a `WeakMap` added half of a busy server's user CPU, most of it
 * garbage collection (`npm run bench -- http`).
 */
export class PrivateSlot<Value> {
  /** A separate class for each slot, so that an object can have a field in each of two slots. */
  readonly #field = class Field extends Adopt {
    #value: unknown;

    static get(subject: object): unknown {
      return #value in subject ? subject.#value : undefined;
    }

    static set(subject: object, value: unknown): void {
      const field = #value in subject ? subject : new Field(subject);
      field.#value = value;
    }
  };

  get(subject: object): Value | undefined {
    return this.#field.get(subject) as Value | undefined;
  }

  set(subject: object, value: Value): void {
    this.#field.set(subject, value);
  }
}
