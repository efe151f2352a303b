/** Returns what it is given, so that a class which extends it puts its private fields onto an object that is there already. */
const Adopt = function (subject: object): object {
  return subject;
} as unknown as new (subject: object) => object;

/**
 * Values that belong to objects of somebody else, as in a `WeakMap`: nothing of them can be seen on the object, and they leave with it. A
 * private field does the same at a fraction of the price: with requests as keys, a `WeakMap` cost half as much again of a busy server's
 * user CPU, most of it garbage collection (`npm run bench -- http`).
 */
export class PrivateSlot<Value> {
  /** A class of its own for each table, so that two tables have two fields on one object. */
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
